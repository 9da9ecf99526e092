//! I/O ports.

use core::arch::asm;

/// Reads a byte.
///
/// # Safety
/// The device allows it.
pub(super) unsafe fn read(port: u16) -> u8 {
    let value;
    // SAFETY: the caller knows the device.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) };
    value
}

/// Writes a byte.
///
/// # Safety
/// The device allows it.
pub(super) unsafe fn write(port: u16, value: u8) {
    // SAFETY: the caller knows the device.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

/// Writes two bytes.
///
/// # Safety
/// The device allows it.
pub(super) unsafe fn write_word(port: u16, value: u16) {
    // SAFETY: the caller knows the device.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack, preserves_flags)) };
}
