//! The list of the domain's frames, as the toolstack finds it to save the domain: a tree of two levels over
//! the P2M.
//!
//! `arch_shared_info` of Xen's public/arch-x86/xen.h: `max_pfn` and `pfn_to_mfn_frame_list_list`.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::Kernel;
use spin::Mutex;

use super::address::{self, FRAME_BYTES};
use super::translation;
use crate::error::XenError;
use crate::shared_info;

/// Makes the tree, or makes it anew in the frames that it has, since it is of the machine's numbers.
pub(super) fn publish(kernel: &dyn Kernel) -> Result<(), XenError> {
    let page = shared_info::get().ok_or(XenError::INVALID)?;
    let first = translation::list().addr();
    let pages = (translation::frames() as usize).div_ceil(NUMBERS);
    if pages > LISTS * NUMBERS {
        // What there is not, the toolstack refuses.
        page.arch
            .p2m_frame_list_list
            .store(u64::MAX, Ordering::Relaxed);
        return Ok(());
    }
    let mut frames = FRAMES.lock();
    let [top, lists @ ..] = &mut *frames;
    let top = list(kernel, top)?;
    for (index, slot) in lists.iter_mut().enumerate().take(pages.div_ceil(NUMBERS)) {
        let below = list(kernel, slot)?;
        for (entry, number) in (index * NUMBERS..pages).zip(below) {
            number.store(
                machine_at(first + entry * FRAME_BYTES as usize)?,
                Ordering::Relaxed,
            );
        }
        top[index].store(machine_at(below.as_ptr().addr())?, Ordering::Relaxed);
    }
    let list_list = machine_at(top.as_ptr().addr())?;
    page.arch
        .p2m_entries
        .store(translation::frames(), Ordering::Relaxed);
    // The linear list, which comes first, is not used.
    page.arch.p2m_cr3.store(0, Ordering::Relaxed);
    page.arch
        .p2m_frame_list_list
        .store(list_list, Ordering::Release);
    Ok(())
}

/// Numbers in a frame.
const NUMBERS: usize = FRAME_BYTES as usize / size_of::<u64>();
/// For a domain of 512 GiB.
const LISTS: usize = NUMBERS;

type List = [AtomicU64; NUMBERS];

static FRAMES: Mutex<[Option<&'static List>; 1 + LISTS]> = Mutex::new([None; 1 + LISTS]);

fn list(kernel: &dyn Kernel, slot: &mut Option<&'static List>) -> Result<&'static List, XenError> {
    if let Some(list) = *slot {
        return Ok(list);
    }
    let frame = kernel.shared_frame().ok_or(XenError::OUT_OF_MEMORY)?;
    // SAFETY: the frame is aligned, zeroed, for good, and nobody's but ours and the toolstack's.
    let list = unsafe { frame.cast::<List>().as_ref() };
    *slot = Some(list);
    Ok(list)
}

fn machine_at(address: usize) -> Result<u64, XenError> {
    let (frame, _) = address::frame_at(address).ok_or(XenError::BAD_ADDRESS)?;
    Ok(frame.machine().ok_or(XenError::BAD_ADDRESS)?.0)
}
