//! What a PV guest does for a suspension: no page table leads to what is not its memory, and afterwards
//! what Xen and the toolstack give it is found anew.
//!
//! The toolstack writes the new machine numbers to page tables, to the P2M, to what it has of the CPUs
//! (roots, descriptor tables, callbacks) and to `start_info`.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::Kernel;

use super::address::{self, FRAME_BYTES};
use super::start_info::StartInfo;
use super::translation::{Mfn, Pfn};
use super::{batch, console, events, frame_list, given, hidden_frames, start};
use crate::error::XenError;
use crate::memory::FrameNumber;

/// Notes where `start_info` is.
pub(super) fn note_start_info(frame: Pfn) {
    START_INFO.store(frame.0, Ordering::Relaxed);
}

static START_INFO: AtomicU64 = AtomicU64::new(0);

/// Puts away what is not the domain's memory, and has `start_info` name the rings' frames as the domain
/// does, as the toolstack wants it. The machine's number of `start_info`.
///
/// # Safety
///
/// Nobody uses the shared page or grant tables until the suspension has ended.
pub(crate) unsafe fn begin() -> Result<FrameNumber, XenError> {
    let start_info = Pfn(START_INFO.load(Ordering::Relaxed)).machine();
    let start_info = start_info.ok_or(XenError::INVALID)?;
    console::flush();
    // SAFETY: as the caller vouches; what was put off is made before.
    unsafe {
        batch::flush_lazy();
        hidden_frames::show();
        rename_rings(|machine| Mfn(machine).own().map(|own| own.0));
    }
    Ok(FrameNumber(start_info.0))
}

/// All is as it was before.
///
/// # Safety
///
/// It was [begun](begin).
pub(crate) unsafe fn cancel() {
    // SAFETY: the memory was shown for the suspension only.
    unsafe {
        rename_rings(|own| Pfn(own).machine().map(|machine| machine.0));
        hidden_frames::hide();
    }
}

/// Replaces the numbers of the rings' frames in `start_info`, where there are any.
///
/// # Safety
///
/// Nobody reads them meanwhile.
unsafe fn rename_rings(rename: impl Fn(u64) -> Option<u64>) {
    let info = start_info() as *mut StartInfo;
    // SAFETY: the frame is in the direct map, and the domain's to write.
    unsafe {
        for number in [&raw mut (*info).store_mfn, &raw mut (*info).console_mfn] {
            if let Some(renamed) = rename(number.read_volatile()) {
                number.write_volatile(renamed);
            }
        }
    }
}

fn start_info() -> usize {
    address::of(Pfn(START_INFO.load(Ordering::Relaxed)))
}

/// Takes what the new place gives. CPUs are then brought up as at first.
///
/// # Safety
///
/// It was [begun](begin), and the domain has moved.
pub(crate) unsafe fn resume(kernel: &dyn Kernel) -> Result<(), XenError> {
    hidden_frames::forget();
    events::forget();
    // SAFETY: the frame is in the direct map, and of integers.
    let info = unsafe { (start_info() as *const StartInfo).read_volatile() };
    given::note(&info);
    // SAFETY: the page is this domain's. Nobody else runs.
    unsafe {
        start::share(Mfn(info.shared_info / FRAME_BYTES))?;
        console::resume(&info);
    }
    frame_list::publish(kernel)
}
