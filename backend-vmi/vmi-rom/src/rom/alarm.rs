//! Alarms, on the timer of the local APIC or on the PIT.
//!
//! The ROM does not see interrupts. By the local APIC it sees their end, and sets the next beat then, so
//! that beats keep their distance from the first. Only where the timer's interrupt is in service it has
//! come: a timer that has run out may not have interrupted yet, and does not if it is set again. By IRQ 0
//! the ROM sees nothing: a periodic alarm is the PIT's own period there, and as the PIT counts for 55 ms
//! at most, IRQ 0 comes early for later alarms; guests look at the counter.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use super::clock;
use super::cpu::Cpu;
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::state::State;
use super::{pit, window};
use crate::abi::time::{AlarmFlags, Counter};

pub(super) const TIMER_VECTOR: u32 = 0x320;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
pub(super) const TIMER_DIVIDE: u32 = 0x3E0;
const IN_SERVICE: u32 = 0x100;
/// Divides by 16.
const DIVIDE_BY_16: u32 = 0b0011;
/// One-shot is 0 here.
const TIMER_MODE: u32 = 3 << 17;

/// The alarms of a CPU.
pub(super) struct Alarms {
    alarms: [Alarm; AlarmFlags::ALARM_COUNTERS as usize],
    /// Ticks of the local APIC's timer per second; 0 before the first alarm.
    ticks_per_second: Cell<u32>,
    /// Whether the timer counts once and by our divider, with the vector below.
    is_prepared: Cell<bool>,
    vector: Cell<u8>,
}

/// One counter's alarm. By the local APIC only: that of the PIT is in its hardware.
struct Alarm {
    is_set: Cell<bool>,
    expiry: Cell<u64>,
    /// 0 for one beat only.
    period: Cell<u64>,
    /// Whether the timer was set for it.
    is_programmed: Cell<bool>,
    /// Whether it is the PIT's.
    by_irq0: Cell<bool>,
}

/// SetAlarm.
pub(super) extern "C" fn set(arguments: &Arguments) -> u64 {
    let flags = AlarmFlags(arguments.eax);
    let expiry = u64::from(arguments.ecx) << 32 | u64::from(arguments.edx);
    let [low, high] = arguments.stack;
    let period = match flags.0 & AlarmFlags::PERIODIC {
        0 => 0,
        _ => u64::from(high) << 32 | u64::from(low),
    };
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let Some(cpu) = Cpu::current(state, &interrupts_off) else {
        return 0;
    };
    let counter = flags.counter();
    let Some(alarm) = cpu.alarms.alarms.get(counter.0 as usize) else {
        return 0;
    };
    let by_irq0 = flags.0 & AlarmFlags::WIRED_LVTT == 0;
    if !by_irq0 && state.has_window.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    // Linux sets it by IRQ 0 first, and by the local APIC when it has that.
    let was_by_irq0 = alarm.by_irq0.replace(by_irq0);
    let was_set = alarm.is_set.replace(true);
    alarm.is_programmed.set(false);
    alarm.expiry.set(expiry);
    let old_period = alarm.period.replace(period);
    if was_set && was_by_irq0 != by_irq0 {
        match was_by_irq0 {
            true => stop_irq0(old_period),
            false => cpu.alarms.program_or_stop(state, cpu),
        }
    }
    if by_irq0 {
        let rate = state.clock.rate();
        match period {
            0 => {
                let cycles = expiry.saturating_sub(clock::now(state, cpu, counter));
                pit::once(pit_ticks(cycles, rate));
            }
            cycles => pit::every(pit_ticks(cycles, rate)),
        }
    } else {
        cpu.alarms.program(state, cpu);
    }
    0
}

/// CancelAlarm.
pub(super) extern "C" fn cancel(arguments: &Arguments) -> u64 {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    let Some(cpu) = Cpu::current(state, &interrupts_off) else {
        return 0;
    };
    let counter = AlarmFlags(arguments.eax).counter();
    let Some(alarm) = cpu.alarms.alarms.get(counter.0 as usize) else {
        return 0;
    };
    if !alarm.is_set.replace(false) {
        return 0;
    }
    if alarm.by_irq0.get() {
        // One that comes once and is over was set all the same: nobody has seen it come.
        let is_over =
            alarm.period.get() == 0 && alarm.expiry.get() <= clock::now(state, cpu, counter);
        stop_irq0(alarm.period.get());
        return u64::from(!is_over);
    }
    cpu.alarms.program_or_stop(state, cpu);
    1
}

/// Whether an interrupt by the timer is handled, as each end of an interrupt asks before it is told.
pub(super) fn is_in_service(cpu: &Cpu) -> bool {
    let alarms = &cpu.alarms;
    let programmed = |alarm: &Alarm| alarm.is_set.get() && alarm.is_programmed.get();
    if !alarms.alarms.iter().any(programmed) {
        return false;
    }
    let vector = u32::from(alarms.vector.get());
    window::read(IN_SERVICE + vector / 32 * 0x10) & 1 << (vector % 32) != 0
}

/// After the end of an interrupt, if the timer's was in service.
pub(super) fn has_come(state: &State, cpu: &Cpu) {
    let alarms = &cpu.alarms;
    for (number, alarm) in alarms.alarms.iter().enumerate() {
        if alarm.is_set.get() && alarm.is_programmed.get() {
            alarm.has_come(clock::now(state, cpu, Counter(number as u32)));
        }
    }
    alarms.program(state, cpu);
}

/// The guest has written how the local APIC's timer interrupts or counts. The timer may have run out
/// while it was masked: an interrupt that is lost so comes now.
pub(super) fn timer_was_written(state: &State, cpu: &Cpu) {
    cpu.alarms.is_prepared.set(false);
    cpu.alarms.program(state, cpu);
}

impl Alarm {
    fn has_come(&self, now: u64) {
        let (expiry, period) = (self.expiry.get(), self.period.get());
        self.is_programmed.set(false);
        if now < expiry {
            // The timer could not count as far.
            return;
        }
        match (now - expiry).checked_div(period) {
            None => self.is_set.set(false),
            Some(missed) => {
                let beats = (missed + 1).saturating_mul(period);
                self.expiry.set(expiry.saturating_add(beats));
            }
        }
    }
}

impl Alarms {
    /// Sets the timer for the earliest alarm. Gives false, and does nothing, where there is none.
    fn program(&self, state: &State, cpu: &Cpu) -> bool {
        let mut number = 0;
        let remaining = self.alarms.each_ref().map(|alarm| {
            let now = clock::now(state, cpu, Counter(number));
            number += 1;
            let waits = alarm.is_set.get() && !alarm.by_irq0.get();
            waits.then(|| alarm.expiry.get().saturating_sub(now))
        });
        let Some(cycles) = remaining.iter().flatten().copied().min() else {
            return false;
        };
        // The other one can become due before the end of this one's interrupt, and is not lost then.
        for (alarm, remaining) in self.alarms.iter().zip(remaining) {
            alarm.is_programmed.set(remaining == Some(cycles));
        }
        self.prepare();
        let ticks_per_second = u64::from(self.ticks_per_second.get());
        let ticks = scale(cycles, ticks_per_second, state.clock.rate());
        // One tick later than too early.
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX).saturating_add(1);
        window::write(TIMER_INITIAL, ticks);
        true
    }

    fn program_or_stop(&self, state: &State, cpu: &Cpu) {
        if !self.program(state, cpu) {
            window::write(TIMER_INITIAL, 0);
        }
    }

    fn prepare(&self) {
        if self.ticks_per_second.get() == 0 {
            self.ticks_per_second.set(measure_timer());
        }
        if self.is_prepared.replace(true) {
            return;
        }
        let entry = window::read(TIMER_VECTOR);
        self.vector.set(entry as u8);
        window::write(TIMER_VECTOR, entry & !TIMER_MODE);
        window::write(TIMER_DIVIDE, DIVIDE_BY_16);
    }
}

/// Ticks of this CPU's timer per second; at least 1.
fn measure_timer() -> u32 {
    const MASKED: u32 = 1 << 16;
    let vector = window::read(TIMER_VECTOR);
    window::write(TIMER_VECTOR, vector & !TIMER_MODE | MASKED);
    window::write(TIMER_DIVIDE, DIVIDE_BY_16);
    window::write(TIMER_INITIAL, u32::MAX);
    let ticks = pit::measure(|| u64::from(u32::MAX - window::read(TIMER_CURRENT)));
    window::write(TIMER_INITIAL, 0);
    window::write(TIMER_VECTOR, vector);
    u32::try_from(ticks.unwrap_or(0)).unwrap_or(u32::MAX).max(1)
}

fn stop_irq0(period: u64) {
    match period {
        0 => pit::stop_once(),
        _ => pit::stop_beats(),
    }
}

fn pit_ticks(cycles: u64, rate: u64) -> u16 {
    let ticks = scale(cycles, u64::from(pit::RATE), rate);
    u16::try_from(ticks).unwrap_or(u16::MAX).max(1)
}

/// `cycles * ticks / rate`, at most what 64 bits hold.
fn scale(cycles: u64, ticks: u64, rate: u64) -> u64 {
    let rate = rate.max(1);
    let (seconds, rest) = (cycles / rate, cycles % rate);
    seconds
        .saturating_mul(ticks)
        .saturating_add(rest.saturating_mul(ticks) / rate)
}
