//! Measuring against the programmable interval timer, the one clock whose rate every PC agrees on.
//!
//! Intel 8254 data sheet; channel 2 has its gate in port 0x61 and raises no interrupt.

use pvops_core::io;

use crate::sample::{first_sample, sample};

const FREQUENCY_HZ: u64 = 1_193_182;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;
/// Gate on, speaker off.
const GATE_ON: u8 = 1 << 0;
const SPEAKER_ON: u8 = 1 << 1;
/// Channel 2, low byte then high byte, mode 0 (count down once), binary.
const COUNT_DOWN: u8 = 0b1011_0000;
/// Channel 2, latch the count.
const LATCH: u8 = 0b1000_0000;

/// How long to measure: 2 ms, for an error below 0.1 percent.
const WINDOW_TICKS: u16 = (FREQUENCY_HZ / 500) as u16;
/// A counter that shows the same so often in a row does not count.
const MAX_UNCHANGED: u32 = 2000;

/// The time-stamp counter's rate in kHz, or `None` if no PIT counts. Takes about 2 ms.
pub(crate) fn tsc_khz() -> Option<u64> {
    // SAFETY: starts channel 2, which only the speaker uses.
    unsafe {
        let gate = io::in8(GATE);
        io::out8(GATE, gate & !SPEAKER_ON | GATE_ON);
        io::out8(COMMAND, COUNT_DOWN);
        io::out8(CHANNEL_2, 0xff);
        io::out8(CHANNEL_2, 0xff);
    }
    let read = || u32::from(read_count());
    let start = first_sample(read);
    let started = start.count as u16;
    let (mut last, mut unchanged) = (started, 0);
    // Ends: the counter changes at least once in `MAX_UNCHANGED` readings, or we give up; and one
    // that runs up or jumps is past the window at once.
    while started.wrapping_sub(last) < WINDOW_TICKS {
        let count = read_count();
        unchanged = if count == last { unchanged + 1 } else { 0 };
        if unchanged == MAX_UNCHANGED {
            return None;
        }
        last = count;
    }
    let end = sample(&read);
    let ticks = u64::from(started.wrapping_sub(end.count as u16));
    let cycles = end.tsc.wrapping_sub(start.tsc);
    let khz = u128::from(cycles) * u128::from(FREQUENCY_HZ) / u128::from(ticks.max(1)) / 1000;
    u64::try_from(khz).ok().filter(|&khz| khz != 0)
}

fn read_count() -> u16 {
    // SAFETY: latches and reads the count of channel 2.
    unsafe {
        io::out8(COMMAND, LATCH);
        u16::from_le_bytes([io::in8(CHANNEL_2), io::in8(CHANNEL_2)])
    }
}
