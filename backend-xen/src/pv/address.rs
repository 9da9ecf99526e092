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

impl AddressLayout {
    /// Frames of a direct map: what one entry of the first table leads to.
    pub(super) const MAX_FRAMES: u64 = (ROOT_ENTRY_BYTES / FRAME_BYTES as usize) as u64;

    pub(super) fn is_valid(&self) -> bool {
        /// `HYPERVISOR_VIRT_END` of Xen's public/arch-x86/xen-x86_64.h.
        const XEN_END: usize = 0xffff_8800_0000_0000;
        self.direct_map >= XEN_END
            && self.direct_map.is_multiple_of(ROOT_ENTRY_BYTES)
            && self.direct_map != self.image & !(ROOT_ENTRY_BYTES - 1)
    }
}

/// What one entry of the first table leads to.
const ROOT_ENTRY_BYTES: usize = 512 << 30;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_map_is_neither_where_xen_is_nor_the_image() {
        let layout = |direct_map| AddressLayout {
            image: 0xffff_ffff_8000_0000,
            direct_map,
        };
        assert!(layout(0xffff_8800_0000_0000).is_valid());
        assert!(layout(0xffff_ff00_0000_0000).is_valid());
        for bad in [
            0,
            0xffff_8780_0000_0000,
            0xffff_8800_4000_0000,
            0xffff_ff80_0000_0000,
        ] {
            assert!(!layout(bad).is_valid(), "{bad:#x}");
        }
    }
}
