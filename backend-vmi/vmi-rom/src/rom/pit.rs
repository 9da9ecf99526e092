//! The programmable interval timer: IRQ 0, and what rates are measured against.

use super::port;

/// Ticks per second.
pub(super) const RATE: u32 = 1_193_182;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;

/// How long a rate is measured: 10 ms.
const MEASURED_TICKS: u16 = (RATE / 100) as u16;
const ATTEMPTS: u32 = 10;
/// Tries to read counter and timer at one moment.
const READINGS: u32 = 8;
/// A bound on looking, where there is no timer.
const PATIENCE: u32 = 1_000_000;

/// How much a counter goes on in a second. `None` if the timer does not count, or this CPU is stopped for
/// long each time.
pub(super) fn measure(counter: impl Fn() -> u64) -> Option<u64> {
    // SAFETY: channel 2 is the speaker's: on, without the speaker.
    let gate = unsafe {
        let gate = port::read(GATE);
        port::write(GATE, gate & !2 | 1);
        gate
    };
    let rate = (0..ATTEMPTS).find_map(|_| measure_once(&counter));
    // SAFETY: as it was.
    unsafe { port::write(GATE, gate) };
    rate
}

fn measure_once(counter: &impl Fn() -> u64) -> Option<u64> {
    // SAFETY: counting down once, from the largest number (mode 0).
    unsafe {
        port::write(COMMAND, 0xB0);
        port::write(CHANNEL_2, 0xFF);
        port::write(CHANNEL_2, 0xFF);
    }
    let start = Moment::read(counter)?;
    let end = start.ticks.checked_sub(MEASURED_TICKS)?;
    (0..PATIENCE).find(|_| ticks() <= end)?;
    let end = Moment::read(counter)?;
    // SAFETY: reading the gate tells the channel's output, which says that it was at 0.
    if unsafe { port::read(GATE) } & 0x20 != 0 {
        return None;
    }
    let ticks = start.ticks.checked_sub(end.ticks)?;
    let elapsed = end.counter.checked_sub(start.counter)?;
    elapsed.checked_mul(RATE.into())?.checked_div(ticks.into())
}

/// What counter and timer have said together. A hypervisor can stop this CPU in between, so the closest
/// of some readings is taken.
struct Moment {
    counter: u64,
    ticks: u16,
}

impl Moment {
    fn read(counter: &impl Fn() -> u64) -> Option<Self> {
        let reading = |_| {
            let before = counter();
            let ticks = ticks();
            let distance = counter().saturating_sub(before);
            let counter = before + distance / 2;
            (distance, Self { counter, ticks })
        };
        let readings = (0..READINGS).map(reading);
        let closest = readings.min_by_key(|(distance, _)| *distance)?;
        Some(closest.1)
    }
}

/// What channel 2 has left.
fn ticks() -> u16 {
    // SAFETY: latching and reading the count has no effect on it.
    unsafe {
        port::write(COMMAND, 0x80);
        u16::from_le_bytes([port::read(CHANNEL_2), port::read(CHANNEL_2)])
    }
}

/// One interrupt, after `ticks`.
pub(super) fn once(ticks: u16) {
    program(0x30, ticks);
}

/// An interrupt every `ticks`.
pub(super) fn every(ticks: u16) {
    program(0x34, ticks);
}

/// The interrupt after some ticks does not come. Where KVM has the timer it may: a mode without a count
/// does not stop that.
pub(super) fn stop_once() {
    // SAFETY: mode 0 waits for a count, which does not come.
    unsafe { port::write(COMMAND, 0x30) };
}

/// There are no more beats. Mode 4 is one more strobe, with which KVM forgets beats that it still owes;
/// mode 5 is one when its gate rises, which channel 0 has not. In all three the output is high, so that
/// the change is no interrupt.
pub(super) fn stop_beats() {
    program(0x38, u16::MAX);
    program(0x3A, u16::MAX);
}

fn program(command: u8, ticks: u16) {
    let [low, high] = ticks.to_le_bytes();
    // SAFETY: the guest has left channel 0 to its alarms.
    unsafe {
        port::write(COMMAND, command);
        port::write(CHANNEL_0, low);
        port::write(CHANNEL_0, high);
    }
}
