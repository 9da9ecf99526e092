//! Where the kernel sees the frames of a PV domain.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::translation::Pfn;

/// Bytes in a frame.
pub(super) const FRAME_BYTES: u64 = 4096;

/// How the kernel lays out its address space.
#[derive(Clone, Copy, Debug)]
pub struct AddressLayout {
    /// Distance from a physical address to where the image and what Xen puts behind it are: the
    /// VIRT_BASE of the kernel's ELF note.
    pub image: usize,
    /// Distance from a physical address to where the kernel sees all memory. A multiple of 512 GiB, from
    /// 0xffff_8800_0000_0000 on, as Xen has what is below.
    pub direct_map: usize,
}

/// Where the kernel sees a frame.
pub(super) fn of(frame: Pfn) -> usize {
    DIRECT_MAP.load(Ordering::Relaxed) + (frame.0 * FRAME_BYTES) as usize
}

/// Where Xen has mapped a frame of the image, and some behind it, for the kernel to begin with.
pub(super) fn in_image(frame: Pfn) -> usize {
    IMAGE
        .load(Ordering::Relaxed)
        .wrapping_add((frame.0 * FRAME_BYTES) as usize)
}

/// The frame, and the offset in it, of an address in the direct map or the image.
pub(super) fn frame_at(address: usize) -> Option<(Pfn, u64)> {
    [&DIRECT_MAP, &IMAGE]
        .iter()
        .filter_map(|start| address.checked_sub(start.load(Ordering::Relaxed)))
        .map(|physical| physical as u64)
        .map(|physical| (Pfn(physical / FRAME_BYTES), physical % FRAME_BYTES))
        .find(|(frame, _)| frame.0 < super::translation::frames())
}

pub(super) fn set(layout: AddressLayout) {
    IMAGE.store(layout.image, Ordering::Relaxed);
    DIRECT_MAP.store(layout.direct_map, Ordering::Relaxed);
}

static IMAGE: AtomicUsize = AtomicUsize::new(0);
static DIRECT_MAP: AtomicUsize = AtomicUsize::new(0);
