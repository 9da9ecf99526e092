//! kvmclock: the host keeps a record of the time in a frame of ours.

use core::ptr::NonNull;

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{Flags, MonotonicClock, Parameters, TimeInfoPointer};
use pvops_core::{Kernel, cpu, irq};
use spin::Once;

use crate::features::Features;
use crate::shared::{self, ENABLE};

/// MSR_KVM_SYSTEM_TIME and MSR_KVM_SYSTEM_TIME_NEW: the record's physical address and an enable bit.
const SYSTEM_TIME: u32 = 0x12;
const SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;

/// The record of each CPU.
static RECORDS: [Once<TimeInfoPointer>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
static CLOCK: MonotonicClock = MonotonicClock::new();

/// Has the host keep a record for this CPU, and returns what is in it. `None` if the host
/// offers no kvmclock, or its record makes no sense: then the host has been told to stop. On each
/// CPU.
pub(crate) fn start(kernel: &dyn Kernel, features: Features) -> Option<Parameters> {
    let register = register(features)?;
    let slot = RECORDS.get(kernel.cpu_index())?;
    let record = &shared::of_this_cpu(kernel)?.clock;
    let physical = shared::physical(kernel, record)?;
    // SAFETY: the record stays mapped for good, and is made of atomics.
    let record = unsafe { TimeInfoPointer::new(NonNull::from(record)).ok()? };
    // SAFETY: the feature bit says that the register exists; the host writes the frame only.
    unsafe { cpu::write_msr(register, physical | ENABLE) };
    let Ok(parameters) = record.parameters() else {
        stop(features);
        return None;
    };
    if features.contains(Features::CLOCKSOURCE_STABLE) {
        CLOCK.set_valid_flags(Flags::TSC_STABLE);
    }
    slot.call_once(|| record);
    Some(parameters)
}

/// Has the host stop writing this CPU's record, if it does.
pub(crate) fn stop(features: Features) {
    if let Some(register) = register(features) {
        // SAFETY: the feature bit says that the register exists.
        unsafe { cpu::write_msr(register, 0) };
    }
}

fn register(features: Features) -> Option<u32> {
    if features.contains(Features::CLOCKSOURCE2) {
        Some(SYSTEM_TIME_NEW)
    } else if features.contains(Features::CLOCKSOURCE) {
        Some(SYSTEM_TIME)
    } else {
        None
    }
}

/// Whether a CPU has a record, so that all need one.
pub(crate) fn is_bound() -> bool {
    RECORDS.iter().any(Once::is_completed)
}

/// The op `time.clock_ns`, bound only if `start` has succeeded on the boot CPU.
pub(crate) unsafe extern "C" fn clock_ns() -> u64 {
    now_ns()
}

/// The op `time.was_stopped`, bound as `clock_ns` is.
pub(crate) unsafe extern "C" fn was_stopped() -> bool {
    let cpu = pvops_core::kernel().map_or(0, Kernel::cpu_index);
    let record = RECORDS.get(cpu).and_then(Once::get);
    record.is_some_and(|record| record.take_guest_stopped())
}

/// Whether the time-stamp counter is as good a clock as kvmclock, and so the better one, since it is
/// cheaper: it runs at one rate, always, and the host says that the CPUs' counters agree.
pub(crate) fn is_tsc_as_good(features: Features, flags: Flags) -> bool {
    features.contains(Features::CLOCKSOURCE_STABLE)
        && flags.contains(Flags::TSC_STABLE)
        && has_invariant_tsc()
}

/// AMD APM volume 3, appendix E.4.6, and Intel SDM volume 2, CPUID: leaf 0x80000007, edx bit 8.
fn has_invariant_tsc() -> bool {
    const LEAF: u32 = 0x8000_0007;
    cpu::cpuid(0x8000_0000, 0).eax >= LEAF && cpu::cpuid(LEAF, 0).edx & 1 << 8 != 0
}

/// System time in nanoseconds; 0 before `start` has succeeded.
pub(crate) fn now_ns() -> u64 {
    // The record is that of the CPU whose time-stamp counter is read, so stay on it.
    let flags = irq::save_flags();
    irq::disable();
    let cpu = pvops_core::kernel().map_or(0, Kernel::cpu_index);
    let record = RECORDS.get(cpu).and_then(Once::get);
    let now = record.map_or(0, |record| CLOCK.now_ns(*record, cpu::read_tsc_ordered));
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
    now
}
