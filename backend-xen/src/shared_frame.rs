//! One frame for all that a CPU shares with Xen.
//!
//! A CPU keeps its frame while it is off, and goes on with it when it comes back: Xen does not let go
//! of the records in it. Every field is an atomic, so a reference to a frame says nothing of what is
//! in it, which Xen may change at any time.

use core::mem::offset_of;
use core::ptr::NonNull;

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use spin::Once;

use crate::event_channel::ControlBlock;
use crate::memory::FrameNumber;
use crate::runstate::Runstate;
use crate::shared_info::VcpuInfo;

/// What one CPU shares with Xen.
#[repr(C, align(4096))]
pub(crate) struct SharedFrame {
    pub(crate) vcpu_info: VcpuInfo,
    pub(crate) control: ControlBlock,
    pub(crate) runstate: Runstate,
}

const _: () = {
    assert!(size_of::<SharedFrame>() == 4096);
    // Xen refuses a control block that is not aligned so (common/event_fifo.c), and a record of a
    // virtual CPU that crosses a frame's end.
    assert!(offset_of!(SharedFrame, control).is_multiple_of(8));
};

static FRAMES: [Once<&'static SharedFrame>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];

/// The frame of this CPU, which gets one if it has none yet. `None` if the kernel has no memory, or
/// the CPU's number is beyond [`MAX_CPUS`].
pub(crate) fn of_this_cpu(kernel: &dyn Kernel) -> Option<&'static SharedFrame> {
    of_cpu(kernel, kernel.cpu_index())
}

/// The same of any CPU.
pub(crate) fn of_cpu(kernel: &dyn Kernel, cpu: usize) -> Option<&'static SharedFrame> {
    let slot = FRAMES.get(cpu)?;
    slot.try_call_once(|| {
        let frame: NonNull<SharedFrame> = kernel.shared_frame().ok_or(())?.cast();
        // SAFETY: the frame is page-aligned, zeroed, mapped for good, and nobody's but ours and
        // Xen's. Zeroes are good for atomics.
        Ok::<_, ()>(unsafe { frame.as_ref() })
    })
    .ok()
    .copied()
}

/// The frame of a CPU, if it has one.
pub(crate) fn of(cpu: usize) -> Option<&'static SharedFrame> {
    FRAMES.get(cpu)?.get().copied()
}

/// Where a record is, for Xen: the number of its frame, as the guest numbers them, or of a PV guest as the
/// machine does; and the offset in the frame in bytes.
pub(crate) fn place<T>(kernel: &dyn Kernel, record: &'static T) -> Option<(u64, u32)> {
    let physical = kernel.virtual_to_physical((&raw const *record).addr())?;
    let number = FrameNumber::at_physical(physical)?;
    Some((number.0 as u64, (physical % FRAME) as u32))
}

const FRAME: u64 = 4096;
