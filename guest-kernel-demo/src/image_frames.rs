//! Frames of the image to share with the host, as a kernel without an allocator has them: for a check.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::layout::PAGE;

/// How many there are.
pub(crate) const COUNT: usize = 3;

/// The next frames that the library wants are these. Once.
pub(crate) fn offer() {
    LEFT.store(COUNT, Ordering::Relaxed);
}

/// How many of them it has not taken.
pub(crate) fn left() -> usize {
    LEFT.load(Ordering::Relaxed)
}

/// One that was offered.
pub(crate) fn take() -> Option<NonNull<u8>> {
    let order = Ordering::Relaxed;
    let left = LEFT.fetch_update(order, order, |left| left.checked_sub(1));
    NonNull::new(FRAMES.0[left.ok()? - 1].get().cast())
}

static LEFT: AtomicUsize = AtomicUsize::new(0);

#[repr(C, align(4096))]
struct Frames([UnsafeCell<[u8; PAGE]>; COUNT]);

// SAFETY: nothing here looks into a frame, and each is given away once.
unsafe impl Sync for Frames {}

static FRAMES: Frames = Frames([const { UnsafeCell::new([0; PAGE]) }; COUNT]);
