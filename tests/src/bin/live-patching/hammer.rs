//! Many threads run sites that change under them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use pvops_core::live::Change;
use pvops_core::mmu;

use crate::backend;
use crate::checks::repatch;
use crate::process;
use crate::through;
use pvops_tests::check::Outcome;
use pvops_tests::ensure;
use pvops_tests::registers::{
    ARGUMENTS, MISALIGNED, Registers, call, is_kept, pattern, result, set_argument,
};

/// Fewer where everything is slow; the release build has to pass, too.
const CHANGES: u64 = if cfg!(debug_assertions) {
    10_000
} else {
    100_000
};
const THREADS: usize = 3;

pub(crate) fn call_and_call() -> Outcome {
    let changes = [
        Change::to(backend::value_a()),
        Change::to(backend::value_b()),
    ];
    under_fire(changes, |round| {
        value(round, [backend::a(round), backend::b(round)])
    })
}

pub(crate) fn inline_and_call() -> Outcome {
    let changes = [
        Change::to(backend::value_a()),
        Change::to(backend::value_inline()),
    ];
    under_fire(changes, |round| {
        value(round, [backend::a(round), backend::in_line(round)])
    })
}

pub(crate) fn call_and_nop() -> Outcome {
    let changes = [Change::to(backend::count()), Change::to(backend::nothing())];
    under_fire(changes, |round| {
        let mut counter = round;
        let address = (&raw mut counter).expose_provenance();
        if round.is_multiple_of(2) {
            let mut registers = pattern();
            registers[ARGUMENTS[0]] = address;
            let wanted = registers;
            // SAFETY: the address is that of a word.
            unsafe { call(&mut registers, MISALIGNED, through::count()) };
            unchanged(&registers, &wanted)?;
        } else {
            mmu::flush_tlb_page(address);
        }
        // SAFETY: as above; it was written behind the compiler's back.
        match unsafe { (&raw const counter).read_volatile() }.wrapping_sub(round) {
            1 => Ok(0),
            0 => Ok(1),
            other => Err(format!("the count went up by {other:#x}")),
        }
    })
}

/// Uses `mmu.entry_value`, and says which of two results came.
fn value(round: u64, results: [u64; 2]) -> Result<usize, String> {
    let result = if round.is_multiple_of(2) {
        let mut registers = pattern();
        set_argument(&mut registers, round);
        let wanted = registers;
        // SAFETY: the op takes any value.
        unsafe { call(&mut registers, round as usize % 4 * 4, through::value()) };
        unchanged(&registers, &wanted)?;
        result(&registers)
    } else {
        mmu::entry_value(round)
    };
    let found = results.iter().position(|&wanted| wanted == result);
    found.ok_or(format!("{result:#x} is neither of {results:x?}"))
}

/// All registers are as they were but those that the site loses.
fn unchanged(registers: &Registers, wanted: &Registers) -> Outcome {
    ensure!(
        is_kept(wanted, registers),
        "{registers:x?} instead of {wanted:x?}"
    );
    Ok(())
}

/// Changes to and fro, while threads run `once`, which says by its result what it found.
fn under_fire(changes: [Change; 2], once: impl Fn(u64) -> Result<usize, String> + Sync) -> Outcome {
    repatch(&changes[..1]).map_err(|error| error.to_string())?;
    // Even while nothing changes; half of it is the number of changes so far.
    let epoch = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let seen = [AtomicU64::new(0), AtomicU64::new(0)];
    let (start, breakpoints) = (Instant::now(), process::breakpoints());
    let thread = |number: u64| {
        let mut counts = [0; 2];
        let mut round = number << 32;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            let before = epoch.load(Ordering::SeqCst);
            let result = once(round);
            let after = epoch.load(Ordering::SeqCst);
            let result = result.and_then(|found| {
                let exact = before == after && before.is_multiple_of(2);
                ensure!(
                    !exact || found as u64 == before / 2 % 2,
                    "result {found} after change {}",
                    before / 2
                );
                counts[found] += 1;
                Ok(())
            });
            if let Err(reason) = result {
                *failure.lock().unwrap() = Some(reason);
                stop.store(true, Ordering::Relaxed);
            }
        }
        for (seen, count) in seen.iter().zip(counts) {
            seen.fetch_add(count, Ordering::Relaxed);
        }
    };
    let result = thread::scope(|scope| {
        for number in 0..THREADS {
            let thread = &thread;
            scope.spawn(move || thread(number as u64));
        }
        let result = (1..=CHANGES).try_for_each(|number| {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            epoch.fetch_add(1, Ordering::SeqCst);
            let change = &changes[number as usize % 2..][..1];
            let changed = repatch(change).map_err(|error| format!("change {number}: {error}"))?;
            epoch.fetch_add(1, Ordering::SeqCst);
            ensure!(changed > 1, "change {number}: {changed} sites");
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        result
    });
    if let Some(reason) = failure.into_inner().unwrap() {
        return Err(reason);
    }
    result?;
    let seen = seen.map(AtomicU64::into_inner);
    let breakpoints = process::breakpoints() - breakpoints;
    println!(
        "     {CHANGES} changes in {:.1} s, {seen:?} results, {breakpoints} at an INT3",
        start.elapsed().as_secs_f64()
    );
    ensure!(
        seen.iter().all(|&count| count > 1000) && breakpoints > 1000,
        "hardly anybody ran the sites"
    );
    Ok(())
}
