//! The console: the first serial port of a PC, as the firmware or nobody set it up.

use pvops_core::binding::Binding;
use pvops_core::op::system::console_byte;
use pvops_core::{call, io};

pub(crate) const CONSOLE_BYTE: Binding<console_byte> = call!(system::console_byte, write);

/// Ports of COM1.
const DATA: u16 = 0x3f8;
const LINE_STATUS: u16 = DATA + 5;
/// Line status: the transmitter takes a byte. TL16C550C data sheet, "Line status register".
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// What an absent port reads as.
const ABSENT: u8 = 0xff;
/// A byte takes 87 microseconds at 115,200 baud and a port read about one.
const MAX_POLLS: u32 = 1000;

unsafe extern "C" fn write(byte: u8) {
    for _ in 0..MAX_POLLS {
        // SAFETY: reading the line status clears error bits that nobody looks at.
        let status = unsafe { io::in8(LINE_STATUS) };
        if status == ABSENT {
            return;
        }
        if status & TRANSMITTER_EMPTY != 0 {
            // SAFETY: sends a byte.
            unsafe { io::out8(DATA, byte) };
            return;
        }
    }
}
