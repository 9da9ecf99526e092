//! Time: the ROM's counters of cycles, and its alarm, which comes as the local APIC's timer does.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::event::EventStatus;
use pvops_core::tsc_scale::TscScale;
use pvops_core::{apic, bindings, call, cpu, preserve, time};
use spin::Once;

use super::binder::Binder;
use super::entries::call_if_there;
use crate::abi::call::Call;
use crate::abi::time::{AlarmFlags, Counter};

/// Asks for the rate of the counters, in kHz, and starts the clock at 0. `None` if the ROM has no
/// counters, or none that run: then time is the hardware's.
pub(super) fn start() -> Option<u64> {
    // SAFETY: asking has no effect.
    let hz = unsafe { call_if_there(Call::GET_CYCLE_FREQUENCY, [0; 3], [0; 2]) }?;
    let khz = hz / 1000;
    let scale = TscScale::from_tsc_khz(khz)?;
    let start = cycles(Counter::REAL)?;
    CLOCK.call_once(|| Clock { start, scale });
    Some(khz)
}

/// Whether the counters are as fast as the time-stamp counter, whose rate is theirs then. A ROM may count
/// something else, though Linux takes the two for the same.
pub(super) fn counts_tsc() -> bool {
    /// Of a second, in which a look at both takes little.
    const PART: u64 = 1000;
    const MAX_LOOKS: u32 = 1_000_000;
    let Some(clock) = CLOCK.get() else {
        return false;
    };
    let look = || cycles(Counter::REAL).map(|cycles| (cycles, cpu::read_tsc_ordered()));
    let Some((first, first_tsc)) = look() else {
        return false;
    };
    let enough = clock.scale.ns_to_ticks(1_000_000_000 / PART);
    for _ in 0..MAX_LOOKS {
        let Some((last, last_tsc)) = look() else {
            return false;
        };
        let (passed, tsc) = (last.saturating_sub(first), last_tsc.wrapping_sub(first_tsc));
        if passed >= enough {
            return passed.abs_diff(tsc) <= passed / 64;
        }
    }
    false
}

pub(super) fn bind(binder: &Binder<'_>, native: bindings::time) -> bindings::time {
    if CLOCK.get().is_none() {
        return native;
    }
    let counted = bindings::time {
        clock_ns: preserve!(time::clock_ns, clock_ns),
        stolen_ns: preserve!(time::stolen_ns, stolen_ns),
        wall_clock_ns: binder.wrapped(
            Call::GET_WALLCLOCK_TIME,
            native.wall_clock_ns,
            call!(time::wall_clock_ns, wall_clock_ns),
        ),
        ..native
    };
    if !(binder.has(Call::SET_ALARM) && binder.has(Call::CANCEL_ALARM)) {
        return counted;
    }
    bindings::time {
        setup_event: call!(time::setup_event, setup_event),
        set_event: call!(time::set_event, set_event),
        cancel_event: call!(time::cancel_event, cancel_event),
        ..counted
    }
}

/// Whether the host has set the time of day since this was last asked; `false` if the ROM does not tell. Any
/// context.
pub fn wall_clock_was_set() -> bool {
    // SAFETY: asking has no other effect.
    let answer = unsafe { call_if_there(Call::WALLCLOCK_UPDATED, [0; 3], [0; 2]) };
    answer.is_some_and(|answer| answer as u32 != 0)
}

struct Clock {
    /// The real cycles when the clock was started.
    start: u64,
    scale: TscScale,
}

static CLOCK: Once<Clock> = Once::new();

/// The cycles of this CPU.
fn cycles(counter: Counter) -> Option<u64> {
    // SAFETY: reading has no effect.
    unsafe { call_if_there(Call::GET_CYCLE_COUNTER, [counter.0, 0, 0], [0; 2]) }
}

unsafe extern "C" fn clock_ns() -> u64 {
    let (Some(clock), Some(now)) = (CLOCK.get(), cycles(Counter::REAL)) else {
        return 0;
    };
    // A counter behind the start is another CPU's that is not quite in step.
    clock.scale.ticks_to_ns(now.saturating_sub(clock.start))
}

/// A CPU can ask for its own stolen cycles only; of others it knows what they have found last.
unsafe extern "C" fn stolen_ns(cpu: usize) -> u64 {
    static LAST: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
    let (Some(clock), Some(last)) = (CLOCK.get(), LAST.get(cpu)) else {
        return 0;
    };
    let is_own = pvops_core::kernel().is_some_and(|kernel| kernel.cpu_index() == cpu);
    if is_own && let Some(stolen) = cycles(Counter::STOLEN) {
        let stolen = clock.scale.ticks_to_ns(stolen).min(time::clock_ns());
        last.fetch_max(stolen, Ordering::Relaxed);
    }
    last.load(Ordering::Relaxed)
}

unsafe extern "C" fn wall_clock_ns() -> u64 {
    // SAFETY: asking has no effect.
    unsafe { call_if_there(Call::GET_WALLCLOCK_TIME, [0; 3], [0; 2]) }.unwrap_or(0)
}

/// One-shot, in real cycles.
const ALARM: u32 = Counter::REAL.0 | AlarmFlags::WIRED_LVTT;

/// The register of the local APIC's timer, by the ops' number: Intel SDM volume 3, table 12-6.
const LVT_TIMER: u32 = 0x32;

unsafe extern "C" fn setup_event(vector: u8) {
    time::cancel_event();
    // SAFETY: the op's caller has a handler for the vector.
    unsafe { apic::write(LVT_TIMER, vector.into()) };
}

unsafe extern "C" fn set_event(deadline_ns: u64) -> EventStatus {
    let (Some(clock), Some(now)) = (CLOCK.get(), cycles(Counter::REAL)) else {
        return EventStatus::NO_TIMER;
    };
    // One more: an event is not to come before its time.
    let distance = clock.scale.ns_to_ticks(deadline_ns).saturating_add(1);
    let expiry = clock.start.saturating_add(distance);
    let (low, high) = (expiry as u32, (expiry >> 32) as u32);
    // SAFETY: the handler was set up. A deadline that has passed comes at once.
    unsafe { call_if_there(Call::SET_ALARM, [ALARM, low, high], [0; 2]) };
    if expiry <= now {
        EventStatus::PASSED
    } else {
        EventStatus::SET
    }
}

unsafe extern "C" fn cancel_event() {
    // SAFETY: the alarm is this CPU's own.
    unsafe { call_if_there(Call::CANCEL_ALARM, [Counter::REAL.0, 0, 0], [0; 2]) };
}
