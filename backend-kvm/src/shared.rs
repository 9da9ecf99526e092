//! The memory that a CPU shares with the host: one frame for all records of that CPU.
//!
//! A CPU keeps its frame while it is off, and goes on with it when it comes back. Every field is an
//! atomic, so a reference to a frame says nothing of what is in it, which the host may change at any
//! time.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{TimeInfo, WallClock};
use spin::Once;

use crate::async_page_fault;
use crate::clock_pairing;
use crate::steal_time::StealTime;

/// What one CPU shares with the host.
#[repr(C, align(4096))]
pub(crate) struct SharedFrame {
    pub(crate) steal_time: StealTime,
    pub(crate) async_page_fault: async_page_fault::Record,
    pub(crate) clock: TimeInfo,
    pub(crate) wall_clock: WallClock,
    /// Bit 0: the host need not hear of the end of the interrupt in service.
    pub(crate) end_of_interrupt: AtomicU32,
    pub(crate) clock_pairing: clock_pairing::Content,
}

const _: () = {
    assert!(size_of::<SharedFrame>() == 4096);
    // The registers keep flags in the low bits of an address.
    assert!(offset_of!(SharedFrame, steal_time).is_multiple_of(64));
    assert!(offset_of!(SharedFrame, async_page_fault).is_multiple_of(64));
    assert!(offset_of!(SharedFrame, clock).is_multiple_of(4));
    assert!(offset_of!(SharedFrame, wall_clock).is_multiple_of(4));
    assert!(offset_of!(SharedFrame, end_of_interrupt).is_multiple_of(4));
};

/// Set in a register beside a record's physical address: the host writes the record.
pub(crate) const ENABLE: u64 = 1;

static FRAMES: [Once<&'static SharedFrame>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];

/// The frame of this CPU, which gets one if it has none yet. `None` if the kernel has no memory, or
/// the CPU's number is beyond [`MAX_CPUS`].
pub(crate) fn of_this_cpu(kernel: &dyn Kernel) -> Option<&'static SharedFrame> {
    let slot = FRAMES.get(kernel.cpu_index())?;
    slot.try_call_once(|| {
        let frame: NonNull<SharedFrame> = kernel.shared_frame().ok_or(())?.cast();
        // SAFETY: the frame is page-aligned, zeroed, mapped for good, and nobody's but ours and the
        // host's. Zeroes are good for atomics.
        Ok::<_, ()>(unsafe { frame.as_ref() })
    })
    .ok()
    .copied()
}

/// The frame of a CPU, if it has one.
pub(crate) fn of(cpu: usize) -> Option<&'static SharedFrame> {
    FRAMES.get(cpu)?.get().copied()
}

/// The physical address of a record in a frame.
pub(crate) fn physical<T>(kernel: &dyn Kernel, record: &'static T) -> Option<u64> {
    kernel.virtual_to_physical((&raw const *record).addr())
}
