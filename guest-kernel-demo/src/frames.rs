//! Physical memory, frame by frame.

use core::ops::Range;
use core::ptr::NonNull;

use spin::Mutex;

use crate::layout::{DIRECT_MAP, PAGE};

/// A zeroed frame: its physical address, and where the kernel sees it. `None` when memory is full.
pub(crate) fn allocate() -> Option<(u64, NonNull<u8>)> {
    let physical = FRAMES.lock().take()?;
    let frame = NonNull::new((DIRECT_MAP + physical as usize) as *mut u8)?;
    // SAFETY: the frame is usable memory in the direct map, and nobody else has it.
    unsafe { frame.write_bytes(0, PAGE) };
    Some((physical, frame))
}

/// Gives a frame back.
///
/// # Safety
///
/// The frame comes from [`allocate`], and nobody uses it any more.
pub(crate) unsafe fn free(physical: u64) {
    let mut frames = FRAMES.lock();
    let next = (DIRECT_MAP + physical as usize) as *mut u64;
    // SAFETY: the frame is the allocator's again, which keeps its list in it.
    unsafe { next.write(frames.free) };
    frames.free = physical;
}

/// Adds memory, given by whole frames.
pub(crate) fn add(range: Range<u64>) {
    let mut frames = FRAMES.lock();
    if let Some(free) = frames.ranges.iter_mut().find(|range| range.is_empty()) {
        *free = range;
    }
}

struct Frames {
    /// Never allocated so far. More ranges than a PC has are left alone.
    ranges: [Range<u64>; 16],
    /// First of the frames that were given back; each begins with the address of the next, 0 ends.
    free: u64,
}

static FRAMES: Mutex<Frames> = Mutex::new(Frames {
    ranges: [const { 0..0 }; 16],
    free: 0,
});

impl Frames {
    fn take(&mut self) -> Option<u64> {
        if self.free != 0 {
            let physical = self.free;
            // SAFETY: the frame is in the list, so it begins with the address of the next.
            self.free = unsafe { ((DIRECT_MAP + physical as usize) as *const u64).read() };
            return Some(physical);
        }
        let range = self.ranges.iter_mut().find(|range| !range.is_empty())?;
        let physical = range.start;
        range.start += PAGE as u64;
        Some(physical)
    }
}
