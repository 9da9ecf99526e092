//! Transactions that must not happen: an error, and not a byte is written.

use std::ops::Range;
use std::ptr::NonNull;

use pvops_core::binding::Binding;
use pvops_core::live::{self, Change, LiveError};
use pvops_core::patch::PatchError;
use pvops_core::site::{SiteRecord, image_sites};
use pvops_core::{Kernel, Op, inline, op, preserve};

use crate::backend;
use crate::checks::{repatch, slot_of};
use crate::process::{self, Process, serialize_others};
use crate::{Outcome, ensure};

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
    let pages = process::pages();
    // SAFETY: the pages are text that nobody writes now.
    let text = unsafe { std::slice::from_raw_parts(pages.start as *const u8, pages.len()) };
    let slots = [
        slot_of::<op::mmu::entry_value>(),
        slot_of::<op::irq::save_flags>(),
    ];
    (text.to_vec(), slots)
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
    pvops_core::irq::disable();
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
    let pair = inline!(mmu::entry_value, "mov rax, rdi", "cld");
    let line = inline!(mmu::entry_value, "mov rax, rdi; cld");
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

/// A site of `irq.disable`, as it is bound, out of reach of what it is to call.
pub(crate) fn far() -> Outcome {
    unsafe extern "C" fn function() {}
    let place = 0x1000_0000_0000_usize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: asks for fresh memory where nothing is.
    let page = unsafe {
        libc::mmap(place as *mut libc::c_void, 4096, protection, flags, -1, 0).cast::<SiteRecord>()
    };
    ensure!(
        page.addr() == place,
        "mmap: {}",
        std::io::Error::last_os_error()
    );
    let near = first_site::<op::irq::disable>()?;
    // SAFETY: the page is ours; the record's site lies in it, 64 bytes on.
    let (records, content) = unsafe {
        page.write(SiteRecord::new(64, near.op(), 6));
        let content = (place + 64) as *mut [u8; 6];
        content.write((near.address() as *const [u8; 6]).read());
        (std::slice::from_raw_parts(page, 1), content)
    };
    let change = [Change::to(preserve!(irq::disable, function))];
    // The far site is the last, and those before it would do.
    // SAFETY: the records are those of this image, and the one in the page.
    let attempt = || unsafe {
        live::repatch(
            &Process,
            &mut serialize_others,
            &[image_sites(), records],
            &change,
        )
    };
    // SAFETY: as above.
    let before = unsafe { content.read() };
    refused(
        attempt,
        |error| matches!(error, LiveError::Patch(PatchError::OutOfRange { site, .. }) if *site == place + 64),
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
            &Process,
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
    let outer = unsafe { live::repatch(&Process, &mut serialize, &[image_sites()], &[to_b]) };
    ensure!(outer.is_ok(), "{outer:?}");
    ensure!(inner == [Err(LiveError::Busy); 3], "{inner:?}");
    repatch(&[Change::to(backend::value_a())])
        .map(drop)
        .map_err(|error| error.to_string())
}

/// What is written for the text goes to a copy of it.
struct Elsewhere(Vec<u8>);

// SAFETY: not true, which is the point: writes land where nobody looks.
unsafe impl Kernel for Elsewhere {
    fn virtual_to_physical(&self, _address: usize) -> Option<u64> {
        None
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        None
    }

    fn map_device(&self, _physical: u64, _length: usize) -> Option<NonNull<u8>> {
        None
    }

    fn cpu_index(&self) -> usize {
        0
    }

    unsafe fn with_writable_text(&self, _range: Range<usize>, write: &mut dyn FnMut(isize)) {
        let copy = self.0.as_ptr().expose_provenance();
        write(copy.wrapping_sub(process::pages().start) as isize);
    }
}

pub(crate) fn window() -> Outcome {
    let kernel = Elsewhere(vec![0; process::pages().len()]);
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
