//! The I/O APIC, as far as one of its inputs is wanted. Intel 82093AA, sections 3.0 to 3.2.

use core::ptr::NonNull;

use pvops_core::Kernel;

use crate::boot;
use crate::platform::Platform;

/// Has a level-triggered input come to this CPU, which is the boot CPU, as an interrupt with that vector.
/// Nothing happens if no addresses are left for the registers.
///
/// # Safety
///
/// There is an I/O APIC at the usual place that has the input, and the vector has a handler.
pub(crate) unsafe fn direct_to_boot_cpu(input: u8, vector: u8) {
    const PHYSICAL: u64 = 0xfec0_0000;
    const LENGTH: usize = 0x20;
    const REDIRECTION: u32 = 0x10;
    const LEVEL: u32 = 1 << 15;
    const DESTINATION_SHIFT: u32 = 24;
    let Some(registers) = Platform.map_device(PHYSICAL, LENGTH) else {
        return;
    };
    let low = REDIRECTION + 2 * u32::from(input);
    // SAFETY: the registers were just mapped, and nobody else uses them. The lower half unmasks, so it is last.
    unsafe {
        write(registers, low + 1, boot::apic_id() << DESTINATION_SHIFT);
        write(registers, low, LEVEL | u32::from(vector));
    }
}

/// Writes a register by its number.
///
/// # Safety
///
/// The registers are mapped there, this one exists and takes the value.
unsafe fn write(registers: NonNull<u8>, number: u32, value: u32) {
    const SELECT: usize = 0;
    const WINDOW: usize = 0x10;
    // SAFETY: as the caller vouches.
    unsafe {
        registers.add(SELECT).cast::<u32>().write_volatile(number);
        registers.add(WINDOW).cast::<u32>().write_volatile(value);
    }
}
