//! Transactions that must not happen: an error, and not a byte is written.

use std::ops::Range;

use pvops_core::binding::Binding;
use pvops_core::live::{self, Change, LiveError};
use pvops_core::patch::PatchError;
use pvops_core::site::{SiteRecord, image_sites};
use pvops_core::{Op, inline, op, preserve};

use crate::backend;
use crate::checks::repatch;
use crate::process::{self, PROCESS, serialize_others};
use pvops_tests::check::Outcome;
use pvops_tests::ensure;
#[cfg(target_pointer_width = "64")]
use pvops_tests::process::far_site;
use pvops_tests::process::{Process, slot_of, text};

/// Checks that `attempt` fails as it should, and changes neither text nor table.
fn refused(
    attempt: impl FnOnce() -> Result<usize, LiveError>,
    wanted: impl FnOnce(&LiveError) -> bool,
) -> Result<LiveError, String> {
    let before = state();
    let result = attempt();
    let Err(error) = result else {
        return Err(format!("{result:?}"));
    };
    ensure!(wanted(&error), "the error is {error:?}");
    ensure!(
        state() == before,
        "something was written, and then: {error}"
    );
    Ok(error)
}

fn state() -> (Vec<u8>, [usize; 2]) {
    let slots = [
        slot_of::<op::mmu::entry_value>(),
        slot_of::<op::irq::save_flags>(),
    ];
    (text(&process::pages()), slots)
}

fn first_site<O: Op>() -> Result<&'static SiteRecord, String> {
    image_sites()
        .iter()
        .find(|site| site.op() == O::NUMBER)
        .ok_or(format!("no site of {}", O::NUMBER))
}

/// So that these ops have a site.
#[inline(never)]
fn sites() {
    pvops_core::irq::save_flags();
    pvops_core::irq::halt();
}

pub(crate) fn not_installed() -> Outcome {
    if std::hint::black_box(false) {
        sites();
    }
    let attempt = || repatch(&[Change::to(backend::value_b())]);
    refused(attempt, |error| *error == LiveError::NotInstalled).map(drop)
}

pub(crate) fn tampered() -> Outcome {
    let to_b = [Change::to(backend::value_b())];
    let sites: Vec<_> = image_sites()
        .iter()
        .filter(|site| site.op() == <op::mmu::entry_value as Op>::NUMBER)
        .collect();
    for record in sites {
        for offset in 0..record.length() {
            process::tamper(record.address() + offset, |byte| byte ^ 1);
            let error = refused(
                || repatch(&to_b),
                |error| matches!(error, LiveError::NotAsBound { site, .. } if *site == record.address()),
            );
            process::tamper(record.address() + offset, |byte| byte ^ 1);
            let text = error?.to_string();
            ensure!(text.contains("mmu.entry_value"), "{text}");
        }
    }
    Ok(())
}

pub(crate) fn several() -> Outcome {
    cfg_if::cfg_if! {
        if #[cfg(target_arch = "x86_64")] {
            let pair = inline!(mmu::entry_value, "mov rax, rdi", "cld");
            let line = inline!(mmu::entry_value, "mov rax, rdi; cld");
        } else {
            let pair = inline!(mmu::entry_value, "mov eax, eax", "cld");
            let line = inline!(mmu::entry_value, "mov eax, eax; cld");
        }
    }
    unsafe extern "C" fn flags() -> usize {
        0
    }
    let changes = [
        Change::to(pair),
        Change::to(line),
        // PUSHF and POP are there now.
        Change::to(preserve!(irq::save_flags, flags)),
    ];
    for change in changes {
        let error = refused(
            || repatch(&[change]),
            |error| matches!(error, LiveError::SeveralInstructions { op, .. } if *op == change.op()),
        )?;
        let text = error.to_string();
        let name = change.op().to_string();
        ensure!(text.contains(&name), "{text}");
    }
    Ok(())
}

pub(crate) fn inside() -> Outcome {
    let site = first_site::<op::apic::eoi>()?.address();
    let op = <op::apic::eoi as Op>::NUMBER;
    let to_nothing = [Change::to(Binding::<op::apic::eoi>::nothing())];
    let wanted = LiveError::ReturnInside {
        site,
        op,
        offset: 6,
    };
    refused(|| repatch(&to_nothing), |error| *error == wanted).map(drop)
}

/// A site of `irq.halt`, as it is bound, out of reach of what it is to call. In 32-bit code everything is
/// within reach.
#[cfg(target_pointer_width = "64")]
pub(crate) fn far() -> Outcome {
    unsafe extern "C" fn function() {}
    let near = first_site::<op::irq::halt>()?;
    let records = far_site(near.op(), 6)?;
    let place = records[0].address();
    let content = place as *mut [u8; 6];
    // SAFETY: the page of the far site is writable, and nobody else's.
    unsafe { content.write((near.address() as *const [u8; 6]).read()) };
    let change = [Change::to(preserve!(irq::halt, function))];
    // The far site is the last, and those before it would do.
    // SAFETY: the records are those of this image, and the one in the page.
    let attempt = || unsafe {
        live::repatch(
            &PROCESS,
            &mut serialize_others,
            &[image_sites(), records],
            &change,
        )
    };
    // SAFETY: as above.
    let before = unsafe { content.read() };
    refused(
        attempt,
        |error| matches!(error, LiveError::Patch(PatchError::OutOfRange { site, .. }) if *site == place),
    )?;
    // SAFETY: as above.
    ensure!(unsafe { content.read() } == before, "the far site changed");
    Ok(())
}

pub(crate) fn requests() -> Outcome {
    let op = <op::mmu::entry_value as Op>::NUMBER;
    let to_b = Change::to(backend::value_b());
    let twice = [to_b, Change::to(backend::value_inline())];
    refused(
        || repatch(&twice),
        |error| *error == LiveError::Repeated { op },
    )?;

    static RECORD: SiteRecord = SiteRecord::new(0, <op::mmu::entry_value as Op>::NUMBER, 5);
    // SAFETY: what the record leads to is itself, and is not looked at.
    let attempt = || unsafe {
        live::repatch(
            &PROCESS,
            &mut serialize_others,
            &[std::slice::from_ref(&RECORD)],
            &[to_b],
        )
    };
    refused(attempt, |error| {
        matches!(error, LiveError::Patch(PatchError::BadLength { .. }))
    })?;

    // A second transaction in the middle of the first.
    let mut inner = Vec::new();
    let mut serialize = || inner.push(repatch(&[Change::to(backend::nothing())]));
    // SAFETY: there are no other threads.
    let outer = unsafe { live::repatch(&PROCESS, &mut serialize, &[image_sites()], &[to_b]) };
    ensure!(outer.is_ok(), "{outer:?}");
    ensure!(inner == [Err(LiveError::Busy); 3], "{inner:?}");
    repatch(&[Change::to(backend::value_a())])
        .map(drop)
        .map_err(|error| error.to_string())
}

/// What is written for the text goes to memory where nobody looks.
fn elsewhere(_range: Range<usize>, write: &mut dyn FnMut(isize)) {
    let pages = process::pages();
    let mut copy = vec![0_u8; pages.len()];
    let place = copy.as_mut_ptr().expose_provenance();
    write(place.wrapping_sub(pages.start) as isize);
}

pub(crate) fn window() -> Outcome {
    // SAFETY: not true, which is the point.
    let kernel = unsafe { Process::new(elsewhere) };
    // SAFETY: there are no other threads, and nothing is written to the text.
    let attempt = || unsafe {
        live::repatch(
            &kernel,
            &mut serialize_others,
            &[image_sites()],
            &[Change::to(backend::value_b())],
        )
    };
    refused(attempt, |error| {
        matches!(error, LiveError::Patch(PatchError::NotWritten { .. }))
    })?;
    Ok(())
}
