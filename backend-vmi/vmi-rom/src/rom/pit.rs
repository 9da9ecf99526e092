//! The programmable interval timer: IRQ 0, and what rates are measured against.

use super::port;

/// Ticks per second.
pub(super) const RATE: u32 = 1_193_182;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;

/// A bound on looking, where there is no timer.
const PATIENCE: u32 = 10_000_000;

/// How long a rate is measured: 10 ms, and so often.
const MEASURED_TICKS: u16 = (RATE / 100) as u16;
const MEASUREMENTS: usize = 5;

/// How much a counter goes on in a second. `None` if the timer does not count. A hypervisor can stop this
/// CPU at any time, which spoils a measurement; hence the median.
pub(super) fn measure(counter: impl Fn() -> u64) -> Option<u64> {
    let mut values = [0; MEASUREMENTS];
    for value in &mut values {
        *value = measure_once(MEASURED_TICKS, &counter)?;
    }
    let smaller = |median: u64| values.iter().filter(|&&value| value < median).count();
    let larger = |median: u64| values.iter().filter(|&&value| value > median).count();
    let half = MEASUREMENTS / 2;
    let mut candidates = values.iter().copied();
    let median = candidates.find(|&value| smaller(value) <= half && larger(value) <= half)?;
    Some(median * u64::from(RATE) / u64::from(MEASURED_TICKS))
}

/// Runs channel 2 for `ticks`, and `sample` in the beginning and in the end.
fn measure_once(ticks: u16, sample: impl Fn() -> u64) -> Option<u64> {
    let [low, high] = ticks.to_le_bytes();
    // SAFETY: channel 2 is the speaker's: on, without the speaker, counting down once (mode 0).
    let gate = unsafe {
        let gate = port::read(GATE);
        port::write(GATE, gate & !2 | 1);
        port::write(COMMAND, 0xB0);
        port::write(CHANNEL_2, low);
        port::write(CHANNEL_2, high);
        gate
    };
    let start = sample();
    // SAFETY: reading the gate tells the channel's output.
    let ended = (0..PATIENCE).any(|_| unsafe { port::read(GATE) } & 0x20 != 0);
    let end = sample();
    // SAFETY: as it was.
    unsafe { port::write(GATE, gate) };
    ended.then(|| end.wrapping_sub(start))
}

/// One interrupt, after `ticks`.
pub(super) fn once(ticks: u16) {
    program(0x30, ticks);
}

/// An interrupt every `ticks`.
pub(super) fn every(ticks: u16) {
    program(0x34, ticks);
}

/// No interrupt.
pub(super) fn stop() {
    // SAFETY: mode 0 waits for a count, which does not come.
    unsafe { port::write(COMMAND, 0x30) };
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
