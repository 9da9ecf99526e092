//! What pvops wants to know from the kernel.

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use pvops_core::lock::CpuIndex;
use pvops_core::{Kernel, PerCpuArea};

use crate::frames;
use crate::hand_over;
#[cfg(target_arch = "x86_64")]
use crate::image_frames;
use crate::layout::{self, DEVICES, DIRECT_MAP, KERNEL_OFFSET, MAPPED, PAGE};
use crate::paging;
use crate::per_cpu;
use crate::tables::Flags;
use crate::writable_alias;

/// This kernel.
pub(crate) struct Platform;

// SAFETY: frames are in the direct map, the image at its offset; devices get addresses of their
// own; the image has a writable alias while it is written.
unsafe impl Kernel for Platform {
    fn virtual_to_physical(&self, address: usize) -> Option<u64> {
        if layout::image().contains(&address) {
            return Some((address - KERNEL_OFFSET) as u64);
        }
        address
            .checked_sub(DIRECT_MAP)
            .map(|physical| physical as u64)
            .filter(|&physical| physical < MAPPED)
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        #[cfg(target_arch = "x86_64")]
        if let Some(frame) = image_frames::take() {
            return Some(frame);
        }
        let (physical, frame) = frames::allocate()?;
        hand_over::note_shared(physical)?;
        Some(frame)
    }

    fn map_device(&self, physical: u64, length: usize) -> Option<NonNull<u8>> {
        static NEXT: AtomicUsize = AtomicUsize::new(DEVICES.start);
        let offset = physical as usize % PAGE;
        let pages = (offset + length).div_ceil(PAGE);
        let start = NEXT.fetch_add(pages * PAGE, Ordering::Relaxed);
        for page in 0..pages {
            let address = start + page * PAGE;
            if address >= DEVICES.end {
                return None;
            }
            let frame = physical - offset as u64 + (page * PAGE) as u64;
            paging::map(address, frame, Flags::DEVICE).ok()?;
        }
        NonNull::new((start + offset) as *mut u8)
    }

    fn cpu_index(&self) -> usize {
        per_cpu::index()
    }

    fn per_cpu_area(&self, cpu: usize) -> Option<PerCpuArea> {
        per_cpu::area(cpu)
    }

    unsafe fn with_writable_text(&self, range: Range<usize>, write: &mut dyn FnMut(isize)) {
        writable_alias::with(range, write);
    }
}

impl CpuIndex for Platform {
    fn cpu_index() -> usize {
        Kernel::cpu_index(&Platform)
    }
}
