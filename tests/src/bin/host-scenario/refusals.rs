//! Installations that must not happen: an error, and nothing is written.

use pvops_core::backend::Backend;
use pvops_core::patch::{self, PatchError};
use pvops_core::probe::Interfaces;
use pvops_core::site::{SiteRecord, image_sites};
use pvops_core::{InstallError, Op, OpNumber, install, installed, op};
use pvops_tests::check::{Outcome, equal};
use pvops_tests::ensure;
#[cfg(target_pointer_width = "64")]
use pvops_tests::process::far_site;
use pvops_tests::process::{PROCESS, protect, span, text};

use crate::backend::{self, BACKEND};
use crate::file;

pub(crate) fn tampered() -> Outcome {
    let sites = image_sites();
    let span = span(sites);
    let backend: &Backend = &BACKEND;
    for record in [&sites[0], &sites[sites.len() / 2], &sites[sites.len() - 1]] {
        // The opcode; the slot; the padding, if there is any.
        for offset in [0, 3, record.length() - 1] {
            let address = record.address() + offset;
            flip(address);
            let before = text(&span);
            // SAFETY: this process is the boot CPU, and has no other threads.
            let result = unsafe { install(backend, &PROCESS, &Interfaces::default()) };
            let Err(InstallError::Patch(error)) = result else {
                return Err(format!("{result:?}"));
            };
            ensure!(
                matches!(error, PatchError::NotACallSite { .. }),
                "the error is {error}"
            );
            equal("the named site", error.site(), record.address())?;
            let op = record.op().name().unwrap_or_default();
            ensure!(error.to_string().contains(op), "{error} does not name {op}");
            equal(
                "the function",
                file::function(error.site())?.is_empty(),
                false,
            )?;
            ensure!(text(&span) == before, "something was written");
            ensure!(
                installed().is_none(),
                "the backend is installed all the same"
            );
            flip(address);
        }
    }
    Ok(())
}

pub(crate) fn bad_records() -> Outcome {
    /// As many as there are cases, each with a site that cannot be looked at by mistake.
    static RECORDS: [SiteRecord; 4] = [
        SiteRecord::new(0, OpNumber(u16::MAX), 6),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 5),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 16),
        SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 0),
    ];
    for record in &RECORDS {
        // SAFETY: what the record leads to is itself, and is not looked at.
        let error = unsafe { patch::verify(std::slice::from_ref(record), &backend::bindings()) };
        let site = record.address();
        let op = record.op();
        let length = record.length();
        let wanted = match op.name() {
            None => PatchError::UnknownOp { site, op },
            Some(_) => PatchError::BadLength { site, op, length },
        };
        equal("the error", error, Err(wanted))?;
    }
    Ok(())
}

/// In 32-bit code a call reaches everything.
#[cfg(target_pointer_width = "32")]
pub(crate) fn out_of_range() -> Outcome {
    let far = SiteRecord::new(0, <op::irq::disable as Op>::NUMBER, 6);
    // SAFETY: what the record leads to is itself, which can be read.
    match unsafe { patch::verify(std::slice::from_ref(&far), &backend::bindings()) } {
        Err(PatchError::NotACallSite { .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[cfg(target_pointer_width = "64")]
pub(crate) fn out_of_range() -> Outcome {
    let (call, jump) = (op::irq::disable::NUMBER, op::cpu::interrupt_return::NUMBER);
    for (op, length) in [(call, 6), (jump, 13)] {
        let records = far_site(op, length)?;
        // SAFETY: the site is in the page.
        match unsafe { patch::verify(records, &backend::bindings()) } {
            Err(PatchError::OutOfRange { site, .. }) => {
                equal("the named site", site, records[0].address())?;
            }
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(())
}

pub(crate) fn twice() -> Outcome {
    // SAFETY: as before.
    let result = unsafe { install(&BACKEND, &PROCESS, &Interfaces::default()) };
    equal("the second time", result, Err(InstallError::Installed))
}

/// Flips a bit of the text, or flips it back.
fn flip(address: usize) {
    let byte = address..address + 1;
    let read_execute = libc::PROT_READ | libc::PROT_EXEC;
    protect(&byte, read_execute | libc::PROT_WRITE);
    // SAFETY: a byte of a site that nobody runs before it is flipped back.
    unsafe { *(address as *mut u8) ^= 1 };
    protect(&byte, read_execute);
}
