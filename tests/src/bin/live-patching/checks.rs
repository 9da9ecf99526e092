//! One thread: what changes, and what an INT3 does.

use core::arch::asm;
use std::sync::atomic::Ordering;

use pvops_core::binding::Binding;
use pvops_core::live::{self, BATCH_SITES, Change, LiveError};
use pvops_core::probe::Interfaces;
use pvops_core::site::{SiteRecord, image_sites};
use pvops_core::{Op, install as install_backend, installed, mmu, op};

use crate::backend::{self, BACKEND, DELAYS, ENDS};
use crate::process::{self, PROCESS, serialize_others};
use crate::through::{self, MANY};
use pvops_tests::check::Outcome;
use pvops_tests::ensure;
use pvops_tests::process::slot_of;
use pvops_tests::registers::{MISALIGNED, call, is_kept, pattern, result, set_argument};

/// A transaction on the sites of this image.
pub(crate) fn repatch(changes: &[Change]) -> Result<usize, LiveError> {
    // SAFETY: all sites of this image are given, and the functions of the backend work in any
    // mixture.
    unsafe { live::repatch(&PROCESS, &mut serialize_others, &[image_sites()], changes) }
}

pub(crate) fn sites_of<O: Op>() -> usize {
    image_sites()
        .iter()
        .filter(|site| site.op() == O::NUMBER)
        .count()
}

pub(crate) fn install() -> Outcome {
    // SAFETY: this process is the boot CPU, and has no other threads.
    unsafe { install_backend(&BACKEND, &PROCESS, &Interfaces::default()) }
        .map(drop)
        .map_err(|error| error.to_string())
}

fn value(value: u64) -> Result<u64, String> {
    let mut found = 0;
    for misalign in [0, MISALIGNED] {
        let mut registers = pattern();
        set_argument(&mut registers, value);
        let wanted = registers;
        // SAFETY: the backend's function takes any value.
        unsafe { call(&mut registers, misalign, through::value()) };
        found = result(&registers);
        ensure!(
            is_kept(&wanted, &registers),
            "{registers:x?} instead of {wanted:x?}"
        );
    }
    Ok(found)
}

pub(crate) fn change() -> Outcome {
    type Step = (Binding<op::mmu::entry_value>, fn(u64) -> u64);
    let steps: [Step; 5] = [
        (backend::value_b(), backend::b),
        (backend::value_inline(), backend::in_line),
        (backend::value_b(), backend::b),
        (backend::value_b(), backend::b),
        (backend::value_a(), backend::a),
    ];
    let all = sites_of::<op::mmu::entry_value>();
    let mut before = slot_of::<op::mmu::entry_value>();
    for (number, (binding, wanted)) in steps.into_iter().enumerate() {
        let change = Change::to(binding);
        let changed = repatch(&[change]).map_err(|error| error.to_string())?;
        let target = change.binding().target();
        // Nothing is written for what is there already.
        let expected = if target == before { 0 } else { all };
        ensure!(
            changed == expected,
            "step {number}: {changed} of {all} sites"
        );
        let slot = slot_of::<op::mmu::entry_value>();
        ensure!(slot == target, "step {number}: the slot is {slot:#x}");
        let bound = installed().map(|all| format!("{:?}", all.mmu.entry_value));
        let meant = Some(format!("{binding:?}"));
        ensure!(bound == meant, "step {number}: {bound:?} is bound");
        let results = [value(0x1234)?, mmu::entry_value(0x1234)];
        ensure!(
            results == [wanted(0x1234); 2],
            "step {number}: {results:x?}"
        );
        before = target;
    }
    Ok(())
}

/// The thread that patches runs into its own INT3: after step 1 and after step 2.
pub(crate) fn breakpoints() -> Outcome {
    type Step = (Binding<op::mmu::entry_value>, fn(u64) -> u64);
    let steps: [Step; 4] = [
        (backend::value_b(), backend::b),
        (backend::value_inline(), backend::in_line),
        (Binding::unavailable(), |value| value),
        (backend::value_a(), backend::a),
    ];
    for (number, (binding, wanted)) in steps.into_iter().enumerate() {
        let mut seen = Vec::new();
        let mut failed = None;
        let trap = number == 2;
        let mut serialize = || {
            serialize_others();
            if trap {
                return;
            }
            let before = process::breakpoints();
            match value(0x5678) {
                Ok(result) => seen.push((result, process::breakpoints() - before)),
                Err(reason) => failed = Some(reason),
            }
        };
        // SAFETY: as for `repatch`.
        let result = unsafe {
            live::repatch(
                &PROCESS,
                &mut serialize,
                &[image_sites()],
                &[Change::to(binding)],
            )
        };
        ensure!(result.is_ok(), "step {number}: {result:?}");
        ensure!(failed.is_none(), "step {number}: {failed:?}");
        // `value` runs the site twice.
        let result = wanted(0x5678);
        let expected = if trap {
            vec![]
        } else {
            vec![(result, 2), (result, 2), (result, 0)]
        };
        ensure!(seen == expected, "step {number}: {seen:x?}");
    }
    Ok(())
}

pub(crate) fn foreign() -> Outcome {
    let (before, answered) = (process::foreign(), process::breakpoints());
    // SAFETY: the handler counts them and goes on behind.
    unsafe {
        asm!("int3");
        asm!(".byte 0xcd, 3");
    }
    let came = process::foreign() - before;
    ensure!(came == 2, "{came} of 2 came");
    ensure!(process::breakpoints() == answered, "one was answered for");
    Ok(())
}

pub(crate) fn batches() -> Outcome {
    let all = sites_of::<op::io::delay>();
    ensure!(all > 2 * BATCH_SITES, "{all} sites are not three batches");
    // An image with one of them, and a module with the others: none shares a batch with that one.
    let is_delay = |site: &SiteRecord| site.op() == op::io::delay::NUMBER;
    let first = image_sites().iter().position(is_delay).unwrap_or(0);
    let (image, module) = image_sites().split_at(first + 1);
    let batches = 1 + (all - 1).div_ceil(BATCH_SITES);
    let to_call = backend::bindings().io.delay;
    for (binding, wanted) in [(Binding::nothing(), 0), (to_call, MANY)] {
        let mut rounds = 0;
        let mut serialize = || rounds += 1;
        // SAFETY: there are no other threads.
        let changed = unsafe {
            live::repatch(
                &PROCESS,
                &mut serialize,
                &[image, module, &[]],
                &[Change::to(binding)],
            )
        };
        ensure!(changed == Ok(all), "{changed:?} instead of {all}");
        ensure!(rounds == 3 * batches, "{rounds} rounds, {batches} batches");
        let before = DELAYS.load(Ordering::Relaxed);
        // SAFETY: the op has no operands.
        unsafe { call(&mut pattern(), 0, through::many()) };
        let counted = DELAYS.load(Ordering::Relaxed) - before;
        ensure!(counted == wanted, "{counted} instead of {wanted}");
    }
    Ok(())
}

/// A call that is followed by NOPs.
pub(crate) fn longer() -> Outcome {
    let to_one = Change::to(backend::bindings().apic.eoi);
    for (change, by) in [(backend::end_two(), 2), (to_one, 1)] {
        let before = ENDS.load(Ordering::Relaxed);
        let changed = repatch(&[change]).map_err(|error| error.to_string())?;
        let all = sites_of::<op::apic::eoi>();
        ensure!(changed == all, "{changed} of {all} sites");
        let mut registers = pattern();
        // SAFETY: the op has no operands.
        unsafe { call(&mut registers, 0, through::end()) };
        let added = ENDS.load(Ordering::Relaxed) - before;
        ensure!(added == by, "{added} instead of {by}");
    }
    Ok(())
}
