//! The local APIC. A register is named by its offset in the page of registers, as Linux does.

use pvops_core::binding::Binding;
use pvops_core::{apic, bindings, call, irq};

use super::binder::Binder;
use super::entries::{by_jump, call_if_there};
use crate::abi::call::Call;

/// The ROM's calls only save exits: what it does not have, or has half of, is left to the registers.
pub(super) fn bind(binder: &Binder<'_>, native: bindings::apic) -> bindings::apic {
    if !has_both(binder) {
        return native;
    }
    bindings::apic {
        read: call!(apic::read, read),
        write: call!(apic::write, write),
        // SAFETY: there are no operands, and the op loses what the call does.
        eoi: unsafe { Binding::preserve(end_of_interrupt) },
        write_icr: call!(apic::write_icr, write_icr),
    }
}

/// Whether the ROM serves the local APIC.
pub(super) fn has_both(binder: &Binder<'_>) -> bool {
    binder.has(Call::APIC_READ) && binder.has(Call::APIC_WRITE)
}

by_jump!(
    end_of_interrupt, APIC_WRITE,
    "mov eax, {register}", "xor edx, edx";
    register = offset(END_OF_INTERRUPT)
);

/// Numbers of registers, as the ops have them. Intel SDM volume 3, table 12-6.
const END_OF_INTERRUPT: u32 = 0xb;
const COMMAND: u32 = 0x30;
const COMMAND_HIGH: u32 = 0x31;

const fn offset(register: u32) -> u32 {
    register << 4
}

unsafe extern "C" fn read(register: u32) -> u32 {
    // SAFETY: the op's caller says that the register exists.
    let value = unsafe { call_if_there(Call::APIC_READ, [offset(register), 0, 0], [0; 2]) };
    value.unwrap_or(0) as u32
}

unsafe extern "C" fn write(register: u32, value: u32) {
    // SAFETY: the op's caller says that the register exists and takes the value.
    unsafe { call_if_there(Call::APIC_WRITE, [offset(register), value, 0], [0; 2]) };
}

unsafe extern "C" fn write_icr(command: u64) {
    const DELIVERY_PENDING: u32 = 1 << 12;
    const MAX_POLLS: u32 = 1_000_000;
    // No interrupt handler may send another command between the two halves.
    let flags = irq::save_flags();
    irq::disable();
    // SAFETY: the op's caller says that the destination is ready. The lower half sends, so it is last.
    // The flags are those of before.
    unsafe {
        for _ in 0..MAX_POLLS {
            if apic::read(COMMAND) & DELIVERY_PENDING == 0 {
                break;
            }
        }
        apic::write(COMMAND_HIGH, ((command >> 32) as u32) << 24);
        apic::write(COMMAND, command as u32);
        irq::restore_flags(flags);
    }
}
