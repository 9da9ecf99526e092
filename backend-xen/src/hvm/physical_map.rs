//! The page shared with Xen, put among this guest's frames.

use core::ptr::NonNull;

use pvops_core::Kernel;

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
    let number = FrameNumber::of_guest(physical)?;
    // SAFETY: the frame is nobody's but ours; what was in it is lost.
    unsafe { memory::add_to_physmap(MapSpace::SHARED_INFO, 0, number) }.ok()?;
    // SAFETY: the frame is mapped for good and page-aligned, and atomics take any content.
    shared_info::adopt(unsafe { frame.as_ref() });
    shared_info::get()
}
