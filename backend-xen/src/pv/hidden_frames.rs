//! Frames of the domain's whose memory is hidden: Xen's own frames are where it was.
//!
//! The toolstack can't save a domain whose page tables lead to what is not its memory. So all of it comes
//! back for a suspension.

use spin::Mutex;

use super::entry;
use super::page_table_calls::replace_mapping;
use super::translation::{Mfn, Pfn};
use crate::error::XenError;

/// Notes that `instead` is to be seen at an address where the memory of a frame is now.
pub(super) fn note(own: Pfn, address: usize, instead: Mfn) -> Result<(), XenError> {
    // Where there is no memory, none is hidden.
    let Some(memory) = own.machine().filter(|&memory| memory != instead) else {
        return Ok(());
    };
    let mut hidden = HIDDEN.lock();
    let slot = hidden.iter_mut().find(|slot| slot.is_none());
    *slot.ok_or(XenError::NO_SPACE)? = Some(Hidden {
        own,
        address,
        memory,
        instead,
    });
    Ok(())
}

/// Has all memory be where it was.
///
/// # Safety
///
/// Nobody uses what is there instead.
pub(super) unsafe fn show() {
    for hidden in HIDDEN.lock().iter().flatten() {
        // SAFETY: as the caller vouches.
        unsafe { hidden.map(hidden.memory) };
    }
}

/// Has the other frames be there again.
///
/// # Safety
///
/// Nobody uses the memory.
pub(super) unsafe fn hide() {
    for hidden in HIDDEN.lock().iter().flatten() {
        // SAFETY: as the caller vouches.
        unsafe { hidden.map(hidden.instead) };
    }
}

/// The other frames are gone, with the place where the domain was.
pub(super) fn forget() {
    HIDDEN.lock().fill(None);
}

/// The shared page, which is seen twice, and as many frames of grant tables as Xen gives a domain unless its
/// administrator has said otherwise.
const MAX: usize = 2 + 64;
static HIDDEN: Mutex<[Option<Hidden>; MAX]> = Mutex::new([None; MAX]);

#[derive(Clone, Copy)]
struct Hidden {
    own: Pfn,
    address: usize,
    memory: Mfn,
    instead: Mfn,
}

impl Hidden {
    unsafe fn map(&self, frame: Mfn) {
        // SAFETY: as the caller vouches. Xen refuses where the kernel has no table for the address: there
        // the frame is not seen.
        unsafe {
            let _ = replace_mapping(self.address, entry::machine(frame, entry::DATA));
            self.own.set_machine(frame);
        }
    }
}
