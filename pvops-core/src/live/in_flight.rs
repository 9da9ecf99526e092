//! The batch that is being written, and what a CPU does that runs into it.

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use super::plan::Batch;
use crate::arch::encode::INT3;

/// How many sites change together; larger sets are done batch by batch.
pub const BATCH_SITES: usize = 64;

/// How a CPU goes on after the INT3 of a site in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resume {
    /// Where it goes on: the instruction pointer, EIP in 32-bit code.
    pub rip: usize,
    /// A return address to be pushed onto the interrupted stack first: a word, written below the
    /// interrupted stack pointer, which then points to it.
    pub push: Option<usize>,
}

/// Says how to go on after #BP, or `None` if the INT3 is not one of ours.
///
/// `rip` is the interrupted instruction pointer, one behind the INT3. A handler asks for exceptions
/// of the kernel's own code, not of user mode, before it does anything that uses ops; then sets the
/// instruction pointer as the answer says, pushes the return address if there is one, and returns. The
/// CPU puts the frame right below the interrupted stack, so a handler on the same stack must have made
/// room for the push: it moves the frame down before it does anything else. (In 32-bit code the frame
/// of a kernel that interrupted itself has no stack pointer: moving it down is what makes room on that
/// stack.) Any CPU, any context, interrupts on or off.
///
/// It also answers for an INT3 that is there no longer: the batch may have ended between the
/// exception and the question, and then the CPU goes back to what is there now.
///
/// # Safety
///
/// #BP was raised at `rip` in code that can be read.
pub unsafe fn breakpoint(rip: usize) -> Option<Resume> {
    let address = rip.wrapping_sub(1);
    let again = Some(Resume {
        rip: address,
        push: None,
    });
    let before = GENERATION.load(Ordering::Acquire);
    if let Some(found) = find(before, address) {
        fence(Ordering::Acquire);
        // Else it may be half of one batch and half of the next: execute what is there now.
        return match GENERATION.load(Ordering::Relaxed) == before {
            true => Some(found),
            false => again,
        };
    }
    let code = ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the caller vouches that there is code.
    let byte = unsafe { code.read_volatile() };
    // INT 3 in two bytes, `cd 03`, is nobody's call site.
    // SAFETY: as above; the instruction began a byte earlier if it was that one.
    if byte == 3 && unsafe { code.sub(1).read_volatile() } == 0xcd {
        return None;
    }
    fence(Ordering::Acquire);
    // With a batch begun or ended meanwhile the INT3 may have been ours after all.
    match byte != INT3 || GENERATION.load(Ordering::Relaxed) != before {
        true => again,
        false => None,
    }
}

/// Odd while a batch is in flight; counts their beginnings and ends.
static GENERATION: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static SITES: [Site; BATCH_SITES] = [const { Site::new() }; BATCH_SITES];

struct Site {
    address: AtomicUsize,
    end: AtomicUsize,
    target: AtomicUsize,
}

impl Site {
    const fn new() -> Self {
        Site {
            address: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            target: AtomicUsize::new(0),
        }
    }
}

/// The answer for the site at `address`, good if the generation stays.
fn find(generation: usize, address: usize) -> Option<Resume> {
    if generation.is_multiple_of(2) {
        return None;
    }
    let length = LENGTH.load(Ordering::Relaxed).min(BATCH_SITES);
    let site = SITES[..length]
        .iter()
        .find(|site| site.address.load(Ordering::Relaxed) == address)?;
    Some(Resume {
        rip: site.target.load(Ordering::Relaxed),
        push: Some(site.end.load(Ordering::Relaxed)),
    })
}

/// Makes a batch known, before the first INT3 of it is written. Only one is in flight.
pub(super) fn publish(batch: &Batch<'_>) {
    // A handler that still reads the batch before must find that it has gone: its generation has
    // changed before these stores.
    fence(Ordering::SeqCst);
    let mut length = 0;
    for (site, planned) in SITES.iter().zip(batch.iter()) {
        site.address.store(planned.address(), Ordering::Relaxed);
        site.end.store(planned.end(), Ordering::Relaxed);
        site.target.store(planned.target(), Ordering::Relaxed);
        length += 1;
    }
    LENGTH.store(length, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Release);
    // The INT3 comes after all that, for every CPU: stores are seen in order.
    fence(Ordering::SeqCst);
}

/// Forgets the batch, after the last INT3 of it has gone.
pub(super) fn retire() {
    fence(Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::Release);
}
