//! The page shared with Xen, put among this guest's frames.

use core::ptr::NonNull;

use pvops_core::Kernel;

use crate::error::XenError;
use crate::memory::{self, FrameNumber, MapSpace};
use crate::shared_info::{self, SharedInfo};

/// Has Xen put the shared page in the place of a frame of the kernel's. `None` if the kernel has none,
/// or Xen refuses.
pub(crate) fn map_shared_info(kernel: &dyn Kernel) -> Option<&'static SharedInfo> {
    if let Some(page) = shared_info::get() {
        return Some(page);
    }
    let frame: NonNull<SharedInfo> = kernel.shared_frame()?.cast();
    let physical = kernel.virtual_to_physical(frame.addr().get())?;
    place(physical).ok()?;
    // SAFETY: the frame is mapped for good and page-aligned, and atomics take any content.
    shared_info::adopt(unsafe { frame.as_ref() });
    shared_info::get()
}

/// The same in the place where it was before, which holds a copy of it since the domain has moved.
pub(super) fn map_again(kernel: &dyn Kernel) -> Result<(), XenError> {
    let page = shared_info::get().ok_or(XenError::INVALID)?;
    let physical = kernel.virtual_to_physical((&raw const *page).addr());
    place(physical.ok_or(XenError::BAD_ADDRESS)?)
}

fn place(physical: u64) -> Result<(), XenError> {
    let number = FrameNumber::of_guest(physical).ok_or(XenError::BAD_ADDRESS)?;
    // SAFETY: the frame is nobody's but ours; what was in it is lost.
    unsafe { memory::add_to_physmap(MapSpace::SHARED_INFO, 0, number) }
}
