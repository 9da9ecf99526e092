//! The time of day: KVM writes down when the system time was zero, each time that it is asked.

use core::ptr::NonNull;

use pvops_core::pvclock::WallClockPointer;
use pvops_core::{Kernel, cpu};
use spin::Once;
use spin::mutex::SpinMutex;

use crate::features::Features;
use crate::{clock, shared};

/// MSR_KVM_WALL_CLOCK and MSR_KVM_WALL_CLOCK_NEW: writing the record's physical address has KVM
/// write the record.
const WALL_CLOCK: u32 = 0x11;
const WALL_CLOCK_NEW: u32 = 0x4b56_4d00;

static RECORD: Once<Record> = Once::new();

struct Record {
    pointer: WallClockPointer,
    physical: u64,
    register: u32,
    /// One CPU asks at a time.
    asking: SpinMutex<()>,
}

/// Readies the record in this CPU's frame; whether the host writes one that makes sense. On the boot
/// CPU, where kvmclock runs.
pub(crate) fn start(kernel: &dyn Kernel, features: Features) -> bool {
    let register = if features.contains(Features::CLOCKSOURCE2) {
        WALL_CLOCK_NEW
    } else {
        WALL_CLOCK
    };
    let Some(record) = shared::of_this_cpu(kernel).map(|frame| &frame.wall_clock) else {
        return false;
    };
    let Some(physical) = shared::physical(kernel, record) else {
        return false;
    };
    // SAFETY: the record stays mapped for good, and is made of atomics.
    let Ok(pointer) = (unsafe { WallClockPointer::new(NonNull::from(record)) }) else {
        return false;
    };
    let record = RECORD.call_once(|| Record {
        pointer,
        physical,
        register,
        asking: SpinMutex::new(()),
    });
    record.ask();
    record.pointer.read().is_ok()
}

impl Record {
    /// If somebody else is asking, the record is being made new anyway.
    fn ask(&self) {
        if let Some(_asking) = self.asking.try_lock() {
            // SAFETY: a host with kvmclock has the register, and writes the record only.
            unsafe { cpu::write_msr(self.register, self.physical) };
        }
    }
}

/// The op `time.wall_clock_ns`, bound only when `start` has succeeded.
pub(crate) unsafe extern "C" fn wall_clock_ns() -> u64 {
    let Some(record) = RECORD.get() else {
        return 0;
    };
    record.ask();
    let system_time_ns = clock::now_ns();
    let boot_time = record.pointer.read();
    boot_time.map_or(0, |boot_time| boot_time.wall_ns_at(system_time_ns))
}
