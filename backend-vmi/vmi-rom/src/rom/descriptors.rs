//! Descriptor tables and the kernel's stack.

use core::arch::asm;

use super::cpu::Cpu;
use super::deferred::{self, Update, apply_or_defer};
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::state::State;
use crate::abi::LazyMode;

/// SetGDT.
pub(super) extern "C" fn set_gdt(arguments: &Arguments) -> u64 {
    deferred::flush();
    let interrupts_off = InterruptsOff::new();
    // SAFETY: the guest asks for it.
    unsafe { asm!("lgdt [{}]", in(reg) arguments.eax, options(nostack, preserves_flags)) };
    Cpu::loaded_gdt(State::get(), &interrupts_off);
    0
}

/// SetLDT.
pub(super) extern "C" fn set_ldt(arguments: &Arguments) -> u64 {
    deferred::flush();
    // SAFETY: the guest asks for it.
    unsafe { asm!("lldt {:x}", in(reg) arguments.eax, options(nostack, preserves_flags)) };
    0
}

/// SetTR.
pub(super) extern "C" fn set_tr(arguments: &Arguments) -> u64 {
    deferred::flush();
    // SAFETY: the guest asks for it.
    unsafe { asm!("ltr {:x}", in(reg) arguments.eax, options(nostack, preserves_flags)) };
    0
}

/// WriteGDTEntry and WriteLDTEntry.
pub(super) extern "C" fn write_segment(arguments: &Arguments) -> u64 {
    apply_or_defer(descriptor(arguments), Some(LazyMode::CPU));
    0
}

/// WriteIDTEntry.
pub(super) extern "C" fn write_gate(arguments: &Arguments) -> u64 {
    apply_or_defer(descriptor(arguments), None);
    0
}

/// UpdateKernelStack.
pub(super) extern "C" fn update_kernel_stack(arguments: &Arguments) -> u64 {
    let update = Update::KernelStack {
        segment: arguments.eax,
        pointer: arguments.edx,
    };
    apply_or_defer(update, Some(LazyMode::CPU));
    0
}

fn descriptor(arguments: &Arguments) -> Update {
    Update::Descriptor {
        address: arguments.eax.wrapping_add(arguments.edx.wrapping_mul(8)),
        value: u64::from(arguments.stack[0]) << 32 | u64::from(arguments.ecx),
    }
}

pub(super) fn write(address: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    let entry = address as *mut u32;
    // SAFETY: the guest says that its table is there. The word with the present bit comes last.
    unsafe {
        entry.write_volatile(low);
        entry.add(1).write_volatile(high);
    }
}

/// In the task state that TR names. An argument that cannot be a selector is that task state's address.
pub(super) fn write_kernel_stack(segment: u32, pointer: u32) {
    let is_selector = segment <= u32::from(u16::MAX);
    let Some(task) = (match is_selector {
        true => current_task_state(),
        false => Some(segment),
    }) else {
        return;
    };
    // SAFETY: the CPU itself takes esp0 and ss0 from there (Intel SDM, volume 3, section 8.2.1).
    unsafe {
        ((task + 4) as *mut u32).write_volatile(pointer);
        if is_selector {
            ((task + 8) as *mut u32).write_volatile(segment);
        }
    }
}

/// The base of the segment that TR has; `None` before the guest has loaded one.
fn current_task_state() -> Option<u32> {
    let selector: u32;
    let mut table = [0_u16; 3];
    // SAFETY: both only tell; SGDT stores six bytes.
    unsafe {
        asm!("str {:e}", out(reg) selector, options(nomem, nostack, preserves_flags));
        asm!("sgdt [{}]", in(reg) &raw mut table, options(nostack, preserves_flags));
    }
    let selector = selector & 0xFFF8;
    if selector == 0 {
        return None;
    }
    let base = u32::from(table[1]) | u32::from(table[2]) << 16;
    let entry = base.wrapping_add(selector) as *const u32;
    // SAFETY: TR was loaded from there, with the guest's table in the flat segment.
    let (low, high) = unsafe { (entry.read_volatile(), entry.add(1).read_volatile()) };
    Some(low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000)
}
