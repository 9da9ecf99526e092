//! The page shared with Xen, put among this guest's frames. Xen's public/memory.h.

use core::ptr::NonNull;

use pvops_core::Kernel;

use crate::domain::DomainId;
use crate::hypercall::{self, HypercallNumber};
use crate::shared_info::{self, SharedInfo};

/// Has Xen put the shared page in the place of a frame of the kernel's. `None` if the kernel has none,
/// or Xen refuses.
pub(crate) fn map_shared_info(kernel: &dyn Kernel) -> Option<&'static SharedInfo> {
    if let Some(page) = shared_info::get() {
        return Some(page);
    }
    let frame: NonNull<SharedInfo> = kernel.shared_frame()?.cast();
    let physical = kernel.virtual_to_physical(frame.addr().get())?;
    let mut place = AddToPhysmap {
        domain: DomainId::SELF.0,
        size: 0,
        space: SHARED_INFO,
        index: 0,
        frame_number: physical / 4096,
    };
    // SAFETY: the structure is the command's. The frame is nobody's but ours; what was in it is lost.
    unsafe { hypercall::command(HypercallNumber::MEMORY_OP, ADD_TO_PHYSMAP, &mut place) }.ok()?;
    // SAFETY: the frame is mapped for good and page-aligned, and atomics take any content.
    shared_info::adopt(unsafe { frame.as_ref() });
    shared_info::get()
}

const ADD_TO_PHYSMAP: u32 = 7;
/// XENMAPSPACE_shared_info.
const SHARED_INFO: u32 = 0;

/// `struct xen_add_to_physmap`.
#[repr(C)]
struct AddToPhysmap {
    domain: u16,
    size: u16,
    space: u32,
    index: u64,
    frame_number: u64,
}

const _: () = assert!(size_of::<AddToPhysmap>() == 24);
