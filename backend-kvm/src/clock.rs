//! kvmclock: the host keeps a record of the time in a frame of ours.

use core::ptr::NonNull;

use pvops_core::pvclock::{Flags, MonotonicClock, TimeInfo, TimeInfoPointer};
use pvops_core::tsc_scale::TscScale;
use pvops_core::{Kernel, cpu};
use spin::Once;

use crate::features::Features;

/// MSR_KVM_SYSTEM_TIME and MSR_KVM_SYSTEM_TIME_NEW: the record's physical address and an enable bit.
const SYSTEM_TIME: u32 = 0x12;
const SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;
const ENABLE: u64 = 1;

static RECORD: Once<TimeInfoPointer> = Once::new();
static CLOCK: MonotonicClock = MonotonicClock::new();

/// Gives the host a frame for this CPU's record, and returns its clock. `None` if the
/// host offers no kvmclock, or its record makes no sense: then the host has been told to stop.
pub(crate) fn start(kernel: &dyn Kernel, features: Features) -> Option<Clock> {
    let register = if features.contains(Features::CLOCKSOURCE2) {
        SYSTEM_TIME_NEW
    } else if features.contains(Features::CLOCKSOURCE) {
        SYSTEM_TIME
    } else {
        return None;
    };
    let frame = kernel.shared_frame()?;
    let physical = kernel.virtual_to_physical(frame.as_ptr().addr())?;
    // SAFETY: the frame is zeroed, mapped for good, and nobody's but ours and the host's.
    let record = unsafe { TimeInfoPointer::new(frame.cast()).ok()? };
    // SAFETY: the feature bit says that the register exists; the host writes the frame only.
    unsafe { cpu::write_msr(register, physical | ENABLE) };
    let Ok(parameters) = record.parameters() else {
        // SAFETY: as above; the host stops writing.
        unsafe { cpu::write_msr(register, 0) };
        return None;
    };
    if features.contains(Features::CLOCKSOURCE_STABLE) {
        CLOCK.set_valid_flags(Flags::TSC_STABLE);
    }
    RECORD.call_once(|| record);
    Some(Clock {
        scale: parameters.scale,
        frame,
    })
}

/// A clock that runs.
pub(crate) struct Clock {
    pub(crate) scale: TscScale,
    /// The frame shared with the host; of it the first [`RECORD_BYTES`] are in use.
    pub(crate) frame: NonNull<u8>,
}

/// Size of a record in the frame.
pub(crate) const RECORD_BYTES: usize = size_of::<TimeInfo>();

/// The op `time.clock_ns`, bound only when `start` has succeeded.
pub(crate) unsafe extern "C" fn clock_ns() -> u64 {
    now_ns()
}

/// System time in nanoseconds; 0 before `start` has succeeded.
pub(crate) fn now_ns() -> u64 {
    RECORD
        .get()
        .map_or(0, |record| CLOCK.now_ns(*record, cpu::read_tsc_ordered))
}
