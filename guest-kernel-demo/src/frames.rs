//! Physical memory, frame by frame.

use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicPtr;

use spin::Mutex;

use crate::layout::{DIRECT_MAP, PAGE};

/// A zeroed frame: its physical address, and where the kernel sees it. `None` when memory is full.
pub(crate) fn allocate() -> Option<(u64, NonNull<u8>)> {
    let physical = FRAMES.lock().take()?;
    let frame = at(physical)?;
    // SAFETY: the frame is usable memory in the direct map, and nobody else has it.
    unsafe { frame.write_bytes(0, PAGE) };
    Some((physical, frame))
}

/// Where the kernel sees a frame.
pub(crate) fn at(physical: u64) -> Option<NonNull<u8>> {
    NonNull::new((DIRECT_MAP + physical as usize) as *mut u8)
}

/// Gives a frame one more owner, each of whom is to [free] it. `false` if it can't have more.
pub(crate) fn share(physical: u64) -> bool {
    let mut frames = FRAMES.lock();
    let owners = frames.owners(physical);
    match owners.checked_add(1) {
        Some(more) => *owners = more,
        None => return false,
    }
    true
}

/// Whether a frame has more than one owner.
pub(crate) fn is_shared(physical: u64) -> bool {
    *FRAMES.lock().owners(physical) > 1
}

/// Gives a frame back; the last of its owners makes it free.
///
/// # Safety
///
/// The frame comes from [`allocate`], and its owner does not use it any more.
pub(crate) unsafe fn free(physical: u64) {
    let mut frames = FRAMES.lock();
    let owners = frames.owners(physical);
    *owners -= 1;
    if *owners > 0 {
        return;
    }
    let next = (DIRECT_MAP + physical as usize) as *mut u64;
    // SAFETY: the frame is the allocator's again, which keeps its list in it.
    unsafe { next.write(frames.first_free) };
    frames.first_free = physical;
    frames.used -= 1;
}

/// How many frames are in use.
pub(crate) fn used() -> usize {
    FRAMES.lock().used
}

/// Takes memory into use, given by whole frames. Memory in more ranges than a PC has is left alone.
///
/// # Safety
///
/// Once; the memory is in the direct map, and nobody's.
pub(crate) unsafe fn start(ranges: impl Iterator<Item = Range<u64>>) {
    let mut frames = FRAMES.lock();
    for (slot, range) in frames.ranges.iter_mut().zip(ranges) {
        *slot = range;
    }
    // The numbers of owners take the front of the largest range. Each is set when its frame is
    // allocated.
    let count = frames.ranges.iter().map(|range| range.end).max();
    let bytes = count.unwrap_or(0) / PAGE as u64 * size_of::<u16>() as u64;
    let largest = frames
        .ranges
        .iter_mut()
        .max_by_key(|range| range.end - range.start);
    if let Some(range) = largest {
        let start = range.start;
        range.start = (start + bytes).next_multiple_of(PAGE as u64).min(range.end);
        frames.owners = AtomicPtr::new((DIRECT_MAP + start as usize) as *mut u16);
    }
}

/// A PC's few, and some more where a kernel before this one has left pages that are kept.
const MAX_RANGES: usize = 64;

struct Frames {
    /// Never allocated so far.
    ranges: [Range<u64>; MAX_RANGES],
    /// First of the frames that were given back; each begins with the address of the next, 0 ends.
    first_free: u64,
    /// How many owners each frame has, from physical address 0 on.
    owners: AtomicPtr<u16>,
    used: usize,
}

static FRAMES: Mutex<Frames> = Mutex::new(Frames {
    ranges: [const { 0..0 }; MAX_RANGES],
    first_free: 0,
    owners: AtomicPtr::new(ptr::null_mut()),
    used: 0,
});

impl Frames {
    fn take(&mut self) -> Option<u64> {
        let physical = match self.first_free {
            0 => {
                let range = self.ranges.iter_mut().find(|range| !range.is_empty())?;
                let physical = range.start;
                range.start += PAGE as u64;
                physical
            }
            physical => {
                // SAFETY: the frame is in the list, so it begins with the address of the next.
                self.first_free =
                    unsafe { ((DIRECT_MAP + physical as usize) as *const u64).read() };
                physical
            }
        };
        *self.owners(physical) = 1;
        self.used += 1;
        Some(physical)
    }

    fn owners(&mut self, physical: u64) -> &mut u16 {
        // SAFETY: `start` has made room for a number for each frame that can be allocated, and only
        // such frames are asked for; the lock is held.
        unsafe { &mut *self.owners.get_mut().add(physical as usize / PAGE) }
    }
}
