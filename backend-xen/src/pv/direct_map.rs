//! The direct map: all memory at one distance, made in the tables that Xen has the kernel begin on.
//!
//! Those tables are in use, so each change is a call. New tables are filled while nothing but a window
//! sees them, and lead to by one entry of the first table at the end; then Xen looks through all of
//! them.

use super::address::{self, FRAME_BYTES};
use super::entry::{self, ENTRIES};
use super::page_table_calls::{self, Update};
use super::translation::{Mfn, Pfn};
use crate::error::XenError;

/// How many frames the tables for so many frames are.
pub(super) const fn table_frames(frames: u64) -> u64 {
    let [first, second] = counts(frames);
    first + second + 1
}

/// How many tables of pages, and of those.
const fn counts(frames: u64) -> [u64; 2] {
    let first = frames.div_ceil(ENTRIES as u64);
    [first, first.div_ceil(ENTRIES as u64)]
}

/// Maps the frames below `frames` from the virtual address `start` on. `root` is the first table in
/// use, `tables` are the frames of all that are; from `free` on so many as the tables take are free.
/// `window` is a page whose mapping may change meanwhile.
///
/// # Safety
///
/// Nobody else runs, nothing is mapped at `start`, and frames and window are as said.
pub(super) unsafe fn make(
    start: usize,
    frames: u64,
    root: Pfn,
    tables: core::ops::Range<Pfn>,
    free: Pfn,
    window: Window,
) -> Result<(), XenError> {
    let [first, second] = counts(frames);
    let directories = Pfn(free.0 + first);
    let pointers = Pfn(directories.0 + second);
    let end = Pfn(pointers.0 + 1);
    let page = |frame: Pfn| {
        let is_table = tables.contains(&frame) || (free..end).contains(&frame);
        let flags = if is_table {
            entry::READ_ONLY
        } else {
            entry::DATA
        };
        frame
            .machine()
            .map_or(0, |machine| entry::machine(machine, flags))
    };
    let table = |frame: Pfn| {
        frame
            .machine()
            .map_or(0, |machine| entry::machine(machine, entry::TABLE))
    };
    // SAFETY: the frames are free, and seen by nobody but through the window.
    unsafe {
        for index in 0..first {
            let begin = index * ENTRIES as u64;
            window.fill(Pfn(free.0 + index), |entry| {
                let frame = begin + entry;
                if frame < frames { page(Pfn(frame)) } else { 0 }
            })?;
        }
        for index in 0..second {
            let begin = index * ENTRIES as u64;
            window.fill(Pfn(directories.0 + index), |entry| {
                let below = begin + entry;
                if below < first {
                    table(Pfn(free.0 + below))
                } else {
                    0
                }
            })?;
        }
        window.fill(pointers, |entry| {
            if entry < second {
                table(Pfn(directories.0 + entry))
            } else {
                0
            }
        })?;
        let root = root.machine().ok_or(XenError::INVALID)?;
        let slot = (start >> 39) % ENTRIES;
        page_table_calls::update(&[Update {
            entry: (root.0 * FRAME_BYTES) + (slot * size_of::<u64>()) as u64,
            value: table(pointers),
        }])?;
    }
    Ok(())
}

/// A page through which frames are filled.
pub(super) struct Window {
    page: *mut u64,
    own: Mfn,
}

impl Window {
    /// The page at `page`, behind which `own` is.
    pub(super) fn new(page: *mut u64, own: Mfn) -> Self {
        Window { page, own }
    }

    /// Fills a frame, entry by entry.
    ///
    /// # Safety
    ///
    /// Nobody uses the frame or the page meanwhile.
    unsafe fn fill(&self, frame: Pfn, content: impl Fn(u64) -> u64) -> Result<(), XenError> {
        let machine = frame.machine().ok_or(XenError::OUT_OF_MEMORY)?;
        // SAFETY: as the caller vouches; afterwards the page is as before.
        unsafe {
            self.show(machine)?;
            for index in 0..ENTRIES {
                self.page.add(index).write_volatile(content(index as u64));
            }
            self.show(self.own)?;
            // Xen has mapped some frames behind the boot stack, where a table must not be written to. It
            // refuses where it has not.
            let _ = page_table_calls::update_mapping(address::in_image(frame), 0);
            Ok(())
        }
    }

    unsafe fn show(&self, frame: Mfn) -> Result<(), XenError> {
        let entry = entry::machine(frame, entry::DATA);
        // SAFETY: the page is ours.
        unsafe { page_table_calls::update_mapping(self.page.addr(), entry) }
    }
}
