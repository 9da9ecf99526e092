//! The machine's end, debug registers, and CR4.

use core::arch::asm;
use core::sync::atomic::Ordering;

use super::entries::Arguments;
use super::port;
use super::state::State;
use crate::abi::reboot;

const CR4_PSE: u32 = 1 << 4;
const CR4_PAE: u32 = 1 << 5;

const RESET_CONTROL: u16 = 0xCF9;
const KEYBOARD_CONTROLLER: u16 = 0x64;

/// SetCR4. The window stays what it is.
pub(super) extern "C" fn set_cr4(arguments: &Arguments) -> u64 {
    let mut value = arguments.eax;
    if State::get().has_window.load(Ordering::Relaxed) != 0 && value & CR4_PAE == 0 {
        value |= CR4_PSE;
    }
    // SAFETY: the guest asks for it.
    unsafe { asm!("mov cr4, {}", in(reg) value, options(nostack, preserves_flags)) };
    0
}

/// SetDR. There is nothing to do for a register that there is not.
pub(super) extern "C" fn set_dr(arguments: &Arguments) -> u64 {
    macro_rules! set {
        ($register:literal) => {
            // SAFETY: the guest asks for it.
            unsafe {
                asm!(concat!("mov ", $register, ", {}"), in(reg) arguments.edx,
                     options(nostack, preserves_flags))
            }
        };
    }
    match arguments.eax {
        0 => set!("dr0"),
        1 => set!("dr1"),
        2 => set!("dr2"),
        3 => set!("dr3"),
        6 => set!("dr6"),
        7 => set!("dr7"),
        _ => {}
    }
    0
}

/// GetDR; 0 for a register that there is not.
pub(super) extern "C" fn get_dr(arguments: &Arguments) -> u64 {
    macro_rules! get {
        ($register:literal) => {{
            let value: u32;
            // SAFETY: it only tells.
            unsafe {
                asm!(concat!("mov {}, ", $register), out(reg) value,
                     options(nostack, preserves_flags))
            };
            value
        }};
    }
    u64::from(match arguments.eax {
        0 => get!("dr0"),
        1 => get!("dr1"),
        2 => get!("dr2"),
        3 => get!("dr3"),
        6 => get!("dr6"),
        7 => get!("dr7"),
        _ => 0,
    })
}

/// Reboot. The soft way is the keyboard controller's, which is INIT on a PC; the hard way, the reset
/// control register first (Intel ICH, section 13.7.5).
pub(super) extern "C" fn restart(arguments: &Arguments) -> u64 {
    // SAFETY: the guest asks for the end.
    unsafe {
        asm!("cli", options(nomem, nostack));
        if arguments.eax != reboot::SOFT {
            port::write(RESET_CONTROL, 2);
            port::write(RESET_CONTROL, 6);
        }
        port::write(KEYBOARD_CONTROLLER, 0xFE);
    }
    shutdown(arguments)
}

/// Shutdown: this CPU does nothing more.
pub(super) extern "C" fn shutdown(_: &Arguments) -> u64 {
    loop {
        // SAFETY: with interrupts off there is no way back.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
