//! Resetting the machine, by whatever it has for that.
//!
//! ACPI 6.5, section 4.8.3.6 (reset register); the keyboard controller's pulse of the reset line
//! (Intel 8042) and the chipset's reset control register at port 0xcf9 (Intel ICH data sheets); last
//! an exception without a table to handle it, which shuts the CPU down: machines take that for a
//! reset (Intel SDM volume 3, section 7.15, interrupt 8).

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::binding::Binding;
use pvops_core::descriptor::DescriptorTablePointer;
use pvops_core::op::system::reboot;
use pvops_core::{call, io, irq};

/// Tells [`reboot`](fn@pvops_core::system::reboot) of the reset register that the FADT names, if it
/// is an I/O port. Any context.
///
/// # Safety
///
/// Writing that value to that port resets this machine, if it does anything.
pub unsafe fn set_reset_control(port: u16, value: u8) {
    CONTROL.store(u32::from(port) << 16 | u32::from(value), Ordering::Relaxed);
}

pub(crate) const REBOOT: Binding<reboot> = call!(system::reboot, reset);

/// The port in the upper half, the value in the lower; 0 if nobody has told us.
static CONTROL: AtomicU32 = AtomicU32::new(0);

const KEYBOARD: u16 = 0x64;
/// Status: the controller has not taken the last byte yet.
const KEYBOARD_BUSY: u8 = 1 << 1;
const PULSE_RESET: u8 = 0xfe;
const RESET_CONTROL: u16 = 0xcf9;
/// A cold reset is chosen, then done.
const COLD: u8 = 1 << 1;
const COLD_NOW: u8 = COLD | 1 << 2;

/// Each way gets some 10 ms to show; a port read takes about a microsecond.
const WAIT_READS: u32 = 10_000;

/// The op [`reboot`](fn@pvops_core::system::reboot), for backends that do something before. Does not
/// return. Any context; it disables interrupts.
///
/// # Safety
///
/// What is running is to end.
pub unsafe extern "C" fn reset() {
    irq::disable();
    let control = CONTROL.load(Ordering::Relaxed);
    // SAFETY: the op's caller wants the machine reset.
    unsafe {
        if control != 0 {
            io::out8((control >> 16) as u16, control as u8);
            wait(|| true);
        }
        wait(|| io::in8(KEYBOARD) & KEYBOARD_BUSY != 0);
        io::out8(KEYBOARD, PULSE_RESET);
        wait(|| true);
        io::out8(RESET_CONTROL, COLD);
        io::out8(RESET_CONTROL, COLD_NOW);
        wait(|| true);
        let none = DescriptorTablePointer { limit: 0, base: 0 };
        asm!("lidt [{}]", "ud2", in(reg) &raw const none);
    }
}

fn wait(more: impl Fn() -> bool) {
    for _ in 0..WAIT_READS {
        if !more() {
            return;
        }
        io::delay();
    }
}
