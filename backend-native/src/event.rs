//! The event timer: the local APIC's timer, by TSC deadline where the CPU has that.
//!
//! Intel SDM volume 3, section 12.5.4.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::binding::Binding;
use pvops_core::event::EventStatus;
use pvops_core::op::time::stolen_ns;
use pvops_core::tsc::TscFrequency;
use pvops_core::{apic, atomic64, bindings, call, cpu, inline, preserve, time};
use x86::msr::{
    IA32_TSC_DEADLINE, IA32_X2APIC_CUR_COUNT, IA32_X2APIC_DIV_CONF, IA32_X2APIC_INIT_COUNT,
    IA32_X2APIC_LVT_TIMER,
};

use crate::apic::Apic;
use crate::clock;
use crate::rtc;
use crate::sample::{Sample, first_sample, rate_of_both_halves, sample};

/// Chooses the timer's mode; measures its rate if that is not the time-stamp counter's.
pub(crate) fn start(apic: &Apic, frequency: TscFrequency) -> bindings::time {
    const FEATURES: u32 = 1;
    const ECX_TSC_DEADLINE: u32 = 1 << 24;
    if *apic == Apic::Absent {
        return NONE;
    }
    if cpu::cpuid(FEATURES, 0).ecx & ECX_TSC_DEADLINE != 0 {
        return DEADLINE;
    }
    match ticks_per_second(*apic, frequency.khz() * 1000) {
        0 => NONE,
        rate => {
            atomic64::store(&TICKS_PER_SECOND, rate, Ordering::Relaxed);
            COUNT
        }
    }
}

/// For a machine without a timer.
pub(crate) const NONE: bindings::time = bindings::time {
    clock_ns: preserve!(time::clock_ns, clock::clock_ns),
    setup_event: call!(time::setup_event, no_setup),
    set_event: call!(time::set_event, no_set),
    cancel_event: Binding::nothing(),
    // Nobody steals from hardware.
    stolen_ns: NOTHING_STOLEN,
    was_stopped: inline!(time::was_stopped, "xor eax, eax"),
    wall_clock_ns: call!(time::wall_clock_ns, rtc::wall_clock_ns),
};

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        const NOTHING_STOLEN: Binding<stolen_ns> = inline!(time::stolen_ns, "xor eax, eax");
    } else {
        const NOTHING_STOLEN: Binding<stolen_ns> =
            inline!(time::stolen_ns, "xor eax, eax", "xor edx, edx");
    }
}

pub(crate) const DEADLINE: bindings::time = bindings::time {
    setup_event: call!(time::setup_event, deadline_setup),
    set_event: call!(time::set_event, deadline_set),
    cancel_event: call!(time::cancel_event, deadline_cancel),
    ..NONE
};

const COUNT: bindings::time = bindings::time {
    setup_event: call!(time::setup_event, count_setup),
    set_event: call!(time::set_event, count_set),
    cancel_event: call!(time::cancel_event, count_cancel),
    ..NONE
};

const FIRST: u32 = 0x800;
const LVT_TIMER: u32 = IA32_X2APIC_LVT_TIMER - FIRST;
const INITIAL_COUNT: u32 = IA32_X2APIC_INIT_COUNT - FIRST;
const CURRENT_COUNT: u32 = IA32_X2APIC_CUR_COUNT - FIRST;
const DIVIDE: u32 = IA32_X2APIC_DIV_CONF - FIRST;

const LVT_MASKED: u32 = 1 << 16;
const LVT_DEADLINE: u32 = 1 << 18;
/// The timer's clock as it is.
const DIVIDE_BY_1: u32 = 0b1011;

const NS_PER_SECOND: u64 = 1_000_000_000;

unsafe extern "C" fn no_setup(_vector: u8) {}

unsafe extern "C" fn no_set(_deadline_ns: u64) -> EventStatus {
    EventStatus::NO_TIMER
}

unsafe extern "C" fn deadline_setup(vector: u8) {
    // SAFETY: the op's caller has a handler for the vector. The fence keeps the first deadline
    // behind the change of mode, which is a store to memory in xAPIC mode (section 12.5.4.1).
    unsafe {
        deadline_cancel();
        apic::write(LVT_TIMER, LVT_DEADLINE | u32::from(vector));
        asm!("mfence", options(nostack, preserves_flags));
    }
}

unsafe extern "C" fn deadline_set(deadline_ns: u64) -> EventStatus {
    // By way of the distance: the clock that the deadline is in may be a hypervisor's.
    let left_ns = deadline_ns.saturating_sub(time::clock_ns());
    let deadline_tsc = cpu::read_tsc_ordered().saturating_add(clock::ticks(left_ns));
    // SAFETY: the timer exists, and its handler was set up. A deadline that is over comes at once; 0
    // would disarm the timer, but the counter has left that behind.
    unsafe { cpu::write_msr(IA32_TSC_DEADLINE, deadline_tsc) };
    status(left_ns)
}

unsafe extern "C" fn deadline_cancel() {
    // SAFETY: disarms the timer.
    unsafe { cpu::write_msr(IA32_TSC_DEADLINE, 0) };
}

/// The rate of the timer in its one-shot mode.
static TICKS_PER_SECOND: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn count_setup(vector: u8) {
    // SAFETY: the op's caller has a handler for the vector, and no count is running.
    unsafe {
        count_cancel();
        apic::write(DIVIDE, DIVIDE_BY_1);
        apic::write(LVT_TIMER, vector.into());
    }
}

unsafe extern "C" fn count_set(deadline_ns: u64) -> EventStatus {
    let left_ns = deadline_ns.saturating_sub(time::clock_ns());
    let rate = atomic64::load(&TICKS_PER_SECOND, Ordering::Relaxed);
    // Round up, for an event is not to come before its time; but a count of 0 would stop the timer,
    // and a deadline beyond the count's range has to come early and be set again.
    let ticks = (u128::from(left_ns) * u128::from(rate)).div_ceil(u128::from(NS_PER_SECOND));
    let count = ticks.clamp(1, u128::from(u32::MAX)) as u32;
    // SAFETY: starts the timer, whose handler was set up.
    unsafe { apic::write(INITIAL_COUNT, count) };
    status(left_ns)
}

unsafe extern "C" fn count_cancel() {
    // SAFETY: stops the timer.
    unsafe { apic::write(INITIAL_COUNT, 0) };
}

fn status(left_ns: u64) -> EventStatus {
    match left_ns {
        0 => EventStatus::PASSED,
        _ => EventStatus::SET,
    }
}

/// Measures the one-shot timer against the time-stamp counter for a quarter of a millisecond, or longer
/// if it is interrupted; 0 if it does not count.
fn ticks_per_second(apic: Apic, tsc_hz: u64) -> u64 {
    const HALF_NS: u64 = 125_000;
    apic.write(LVT_TIMER, LVT_MASKED);
    apic.write(DIVIDE, DIVIDE_BY_1);
    let read = || apic.read(CURRENT_COUNT);
    let half = clock::ticks(HALF_NS);
    let sample_after = |start: u64| {
        // Ends: the time-stamp counter runs.
        while cpu::read_tsc_ordered().wrapping_sub(start) < half {}
        sample(&read)
    };
    let measure = || {
        apic.write(INITIAL_COUNT, u32::MAX);
        let start = first_sample(&read);
        let middle = sample_after(start.tsc);
        let end = sample_after(middle.tsc);
        Some([start, middle, end])
    };
    let rate = |start: &Sample, end: &Sample| {
        // The timer counts down.
        let ticks = u128::from(start.count.wrapping_sub(end.count));
        let cycles = u128::from(end.tsc.wrapping_sub(start.tsc)).max(1);
        u64::try_from(ticks * u128::from(tsc_hz) / cycles).unwrap_or(0)
    };
    let rate = rate_of_both_halves(measure, rate).unwrap_or(0);
    apic.write(INITIAL_COUNT, 0);
    rate
}
