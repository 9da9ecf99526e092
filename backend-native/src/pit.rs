//! Measuring against the programmable interval timer, which most PCs have.
//!
//! Intel 8254 data sheet; channel 2 has its gate in port 0x61 and raises no interrupt.

use pvops_core::io;

use crate::sample::Ruler;

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

/// The time-stamp counter's rate in kHz, or `None` if no PIT counts.
pub(crate) fn tsc_khz() -> Option<u64> {
    // SAFETY: starts channel 2, which only the speaker uses.
    unsafe {
        let gate = io::in8(GATE);
        io::out8(GATE, gate & !SPEAKER_ON | GATE_ON);
        io::out8(COMMAND, COUNT_DOWN);
        io::out8(CHANNEL_2, 0xff);
        io::out8(CHANNEL_2, 0xff);
    }
    // It counts down from 0xffff.
    let read = || u32::from(!read_count());
    Ruler {
        read,
        mask: 0xffff,
        frequency_hz: FREQUENCY_HZ,
    }
    .tsc_khz()
}

fn read_count() -> u16 {
    // SAFETY: latches and reads the count of channel 2.
    unsafe {
        io::out8(COMMAND, LATCH);
        u16::from_le_bytes([io::in8(CHANNEL_2), io::in8(CHANNEL_2)])
    }
}
