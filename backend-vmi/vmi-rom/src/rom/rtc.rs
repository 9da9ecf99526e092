//! The time of day: from the real-time clock or from KVM.

use core::cell::Cell;

use super::cpu::Cpu;
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::state::State;
use super::{clock, port};

const NANOSECONDS: u64 = 1_000_000_000;
/// The real-time clock has whole seconds, and a host may set its clock a little all the time.
const TOLERANCE: u64 = 2 * NANOSECONDS;

/// What was the time of day when.
pub(super) struct Wallclock {
    /// Since 1970.
    nanoseconds: Cell<u64>,
    /// Real cycles.
    at: Cell<u64>,
}

impl Wallclock {
    pub(super) fn start(&self, state: &State, cpu: Option<&Cpu>) {
        // The host may run something else while the clock is read, and for long.
        for _ in 0..4 {
            let before = clock::real(state, cpu);
            self.nanoseconds.set(host_time(state, cpu));
            let after = clock::real(state, cpu);
            self.at.set(before);
            if after.saturating_sub(before) < state.clock.rate() / 10 {
                break;
            }
        }
    }

    fn now(&self, state: &State, cpu: Option<&Cpu>) -> u64 {
        let rate = state.clock.rate().max(1);
        let cycles = clock::real(state, cpu).saturating_sub(self.at.get());
        let rest = (cycles % rate).saturating_mul(NANOSECONDS) / rate;
        self.nanoseconds.get() + cycles / rate * NANOSECONDS + rest
    }
}

/// GetWallclockTime.
pub(super) extern "C" fn time(_: &Arguments) -> u64 {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let cpu = Cpu::current(state, &interrupts_off);
    state.wallclock.now(state, cpu)
}

/// WallclockUpdated.
pub(super) extern "C" fn was_updated(_: &Arguments) -> u64 {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let cpu = Cpu::current(state, &interrupts_off);
    let difference = host_time(state, cpu).abs_diff(state.wallclock.now(state, cpu));
    if difference < TOLERANCE {
        return 0;
    }
    state.wallclock.start(state, cpu);
    1
}

fn host_time(state: &State, cpu: Option<&Cpu>) -> u64 {
    match (state.kvm.get(), cpu) {
        (Some(kvm), Some(cpu)) if kvm.has_clock() => kvm
            .boot_time(state)
            .saturating_add(cpu.records.nanoseconds()),
        _ => seconds().saturating_mul(NANOSECONDS),
    }
}

/// Registers of the MC146818.
mod register {
    pub(super) const SECONDS: u8 = 0;
    pub(super) const MINUTES: u8 = 2;
    pub(super) const HOURS: u8 = 4;
    pub(super) const DAY: u8 = 7;
    pub(super) const MONTH: u8 = 8;
    pub(super) const YEAR: u8 = 9;
    pub(super) const A: u8 = 10;
    pub(super) const B: u8 = 11;
}

const UPDATING: u8 = 0x80;
const BINARY: u8 = 4;
const HOURS_24: u8 = 2;
const PM: u8 = 0x80;
/// An update takes 2 ms at most.
const PATIENCE: u32 = 100_000;

/// Seconds since 1970; the year is one of this century.
fn seconds() -> u64 {
    let mut before = fields();
    // Until two readings agree.
    for _ in 0..4 {
        let after = fields();
        if after == before {
            break;
        }
        before = after;
    }
    let [second, minute, mut hour, day, month, year] = before;
    let mode = cmos(register::B);
    let number = |value: u8| match mode & BINARY {
        0 => u32::from(value >> 4) * 10 + u32::from(value & 0xF),
        _ => u32::from(value),
    };
    let afternoon = mode & HOURS_24 == 0 && hour & PM != 0;
    hour &= !PM;
    let hour = match (mode & HOURS_24 == 0, afternoon) {
        (false, _) => number(hour),
        (true, afternoon) => number(hour) % 12 + if afternoon { 12 } else { 0 },
    };
    let days = days(number(year), number(month), number(day));
    u64::from(days) * 86400 + u64::from(hour * 3600 + number(minute) * 60 + number(second))
}

/// Days from 1970 to a day of this century.
fn days(year: u32, month: u32, day: u32) -> u32 {
    // 1 March 2000 was day 11017; years begin in March here, so that a leap day is the last.
    let (year, month) = match month {
        0..=2 => (year + 99, month + 9),
        _ => (year + 100, month - 3),
    };
    // Counted from March 1900, where 1900 had no leap day and 2000 had one.
    let year = year - 100 + 400;
    let whole = year * 365 + year / 4 - year / 100 + year / 400;
    let first = 400 * 365 + 100 - 4 + 1;
    11017 + whole - first + (month * 153 + 2) / 5 + day.saturating_sub(1)
}

fn fields() -> [u8; 6] {
    for _ in 0..PATIENCE {
        if cmos(register::A) & UPDATING == 0 {
            break;
        }
    }
    [
        register::SECONDS,
        register::MINUTES,
        register::HOURS,
        register::DAY,
        register::MONTH,
        register::YEAR,
    ]
    .map(cmos)
}

fn cmos(register: u8) -> u8 {
    // SAFETY: reading these registers has no effect.
    unsafe {
        port::write(0x70, register);
        port::read(0x71)
    }
}
