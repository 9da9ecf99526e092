//! Counters of cycles: the CPU's time-stamp counter, or KVM's clock and steal time at that counter's rate.
//! Linux takes the cycles' rate for that of RDTSC, by which it waits and tells the time before it has
//! alarms, so the two have to agree.

use core::arch::x86::_rdtsc;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use super::cpu::Cpu;
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::pit;
use super::state::State;
use crate::abi::time::Counter;

/// The counters' rate.
pub(super) struct Clock {
    /// 0 if there are no counters.
    cycles_per_second: Cell<u64>,
    /// With KVM's clock: the latest real cycles that were told. On a host whose counters are unstable KVM's
    /// clock goes back a little at times, from CPU to CPU and on one.
    latest: AtomicU64,
    /// With KVM's clock: cycles in a nanosecond, times 2 to the power of [`SCALE_BITS`].
    scale: Cell<u32>,
}

const NANOSECONDS: u64 = 1_000_000_000;
/// Up to 16 GHz.
const SCALE_BITS: u32 = 28;

impl Clock {
    pub(super) fn start(&self, state: &State, cpu: Option<&Cpu>) {
        let rate = match (state.kvm.get(), cpu) {
            (Some(kvm), Some(cpu)) if kvm.has_clock() => {
                let tsc_rate = cpu.records.tsc_rate();
                let rate = tsc_rate.filter(|rate| *rate < NANOSECONDS << (32 - SCALE_BITS));
                let rate = rate.unwrap_or(NANOSECONDS);
                self.scale.set(((rate << SCALE_BITS) / NANOSECONDS) as u32);
                Some(rate)
            }
            _ => pit::measure(time_stamp),
        };
        self.cycles_per_second.set(rate.unwrap_or(0));
    }

    pub(super) fn stop(&self) {
        self.cycles_per_second.set(0);
    }

    /// Cycles in a time of KVM's clock.
    fn cycles(&self, nanoseconds: u64) -> u64 {
        let scale = u64::from(self.scale.get());
        let high = (nanoseconds >> 32).wrapping_mul(scale) << (32 - SCALE_BITS);
        let low = ((nanoseconds & u64::from(u32::MAX)) * scale) >> SCALE_BITS;
        high.wrapping_add(low)
    }

    /// Cycles per second; 0 without counters.
    pub(super) fn rate(&self) -> u64 {
        self.cycles_per_second.get()
    }
}

/// GetCycleFrequency.
pub(super) extern "C" fn frequency(_: &Arguments) -> u64 {
    State::get().clock.rate()
}

/// GetCycleCounter.
pub(super) extern "C" fn counter(arguments: &Arguments) -> u64 {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let cpu = Cpu::current(state, &interrupts_off);
    match Counter(arguments.eax) {
        Counter::REAL => real(state, cpu),
        Counter::AVAILABLE => real(state, cpu).saturating_sub(stolen(state, cpu)),
        Counter::STOLEN => stolen(state, cpu),
        _ => 0,
    }
}

/// A counter that has alarms.
pub(super) fn now(state: &State, cpu: &Cpu, counter: Counter) -> u64 {
    let stolen = match counter {
        Counter::AVAILABLE => stolen(state, Some(cpu)),
        _ => 0,
    };
    real(state, Some(cpu)).saturating_sub(stolen)
}

/// Real cycles.
pub(super) fn real(state: &State, cpu: Option<&Cpu>) -> u64 {
    match (state.kvm.get(), cpu) {
        (Some(kvm), Some(cpu)) if kvm.has_clock() => {
            let now = state.clock.cycles(cpu.records.nanoseconds());
            now.max(state.clock.latest.fetch_max(now, Ordering::Relaxed))
        }
        _ => time_stamp(),
    }
}

fn stolen(state: &State, cpu: Option<&Cpu>) -> u64 {
    match (state.kvm.get(), cpu) {
        (Some(kvm), Some(cpu)) if kvm.has_clock() => {
            state.clock.cycles(cpu.records.stolen_nanoseconds())
        }
        _ => 0,
    }
}

fn time_stamp() -> u64 {
    // SAFETY: it only tells.
    unsafe { _rdtsc() }
}
