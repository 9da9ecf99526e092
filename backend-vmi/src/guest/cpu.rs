//! Registers, descriptor tables and the ways out of the kernel.

use core::arch::asm;

use pvops_core::binding::Binding;
use pvops_core::descriptor::{DescriptorTablePointer, GateDescriptor};
use pvops_core::{bindings, call, cpu, preserve};

use super::binder::Binder;
use super::entries::{by_jump, call_if_there};
use crate::abi::LazyMode;
use crate::abi::call::Call;

pub(super) fn bind(binder: &Binder<'_>, native: bindings::cpu) -> bindings::cpu {
    // SAFETY: `plain` ops have their words where VMI has them: eax, edx, ecx and the stack; results
    // are in eax or edx:eax. CPUID, RDMSR, WRMSR, RDPMC and RDTSC take and give what the instructions
    // do, as do the ops.
    let called = unsafe {
        bindings::cpu {
            read_cr0: binder.value(Call::GET_CR0, native.read_cr0),
            write_cr0: binder.action(Call::SET_CR0, native.write_cr0),
            read_cr4: binder.value(Call::GET_CR4, native.read_cr4),
            write_cr4: binder.action(Call::SET_CR4, native.write_cr4),
            cpuid: binder.value(Call::CPUID, native.cpuid),
            read_msr: binder.value(Call::RDMSR, native.read_msr),
            write_msr: binder.action(Call::WRMSR, native.write_msr),
            read_tsc: binder.value(Call::RDTSC, native.read_tsc),
            read_performance_counter: binder.value(Call::RDPMC, native.read_performance_counter),
            load_gdt: binder.action(Call::SET_GDT, native.load_gdt),
            load_idt: binder.action(Call::SET_IDT, native.load_idt),
            load_ldt: binder.action(Call::SET_LDT, native.load_ldt),
            load_task_register: binder.action(Call::SET_TR, native.load_task_register),
            wbinvd: binder.action(Call::WBINVD, native.wbinvd),
            clear_task_switched: binder.action(Call::CLTS, native.clear_task_switched),
            write_gdt_entry: binder.action(Call::WRITE_GDT_ENTRY, native.write_gdt_entry),
            write_ldt_entry: binder.action(Call::WRITE_LDT_ENTRY, native.write_ldt_entry),
            ..native
        }
    };
    // SAFETY: the operands of both are those of the instructions, as are the ops'.
    let (interrupt_return, sysenter_return) = unsafe {
        (
            binder.exit(Call::IRET, iret),
            binder.exit(Call::SYSEXIT, sysexit),
        )
    };
    bindings::cpu {
        interrupt_return: interrupt_return.unwrap_or(Binding::unavailable()),
        // A kernel on such a ROM does without SYSENTER.
        sysenter_return: sysenter_return.unwrap_or(Binding::unavailable()),
        read_debug_register: binder.wrapped(
            Call::GET_DR,
            native.read_debug_register,
            call!(cpu::read_debug_register, read_debug_register),
        ),
        write_debug_register: binder.wrapped(
            Call::SET_DR,
            native.write_debug_register,
            call!(cpu::write_debug_register, write_debug_register),
        ),
        set_task_switched: binder.wrapped(
            Call::SET_CR0,
            native.set_task_switched,
            preserve!(cpu::set_task_switched, set_task_switched),
        ),
        write_idt_entry: binder.wrapped(
            Call::WRITE_IDT_ENTRY,
            native.write_idt_entry,
            call!(cpu::write_idt_entry, write_idt_entry),
        ),
        load_tls: binder.wrapped(
            Call::WRITE_GDT_ENTRY,
            native.load_tls,
            call!(cpu::load_tls, load_tls),
        ),
        load_kernel_stack: binder.wrapped(
            Call::UPDATE_KERNEL_STACK,
            native.load_kernel_stack,
            // SAFETY: the field is in eax and the stack in edx, and the thunk changes no more than
            // the call.
            unsafe { Binding::preserve(load_kernel_stack) },
        ),
        start_context_switch: binder.wrapped(
            Call::SET_LAZY_MODE,
            native.start_context_switch,
            // SAFETY: there are no operands.
            unsafe { Binding::preserve(start_context_switch) },
        ),
        end_context_switch: binder.wrapped(
            Call::SET_LAZY_MODE,
            native.end_context_switch,
            // SAFETY: there are no operands.
            unsafe { Binding::preserve(end_context_switch) },
        ),
        ..called
    }
}

by_jump!(iret, IRET, "add esp, 4");
by_jump!(sysexit, SYSEXIT, "add esp, 4");
by_jump!(start_context_switch, SET_LAZY_MODE, "mov eax, {mode}"; mode = LazyMode::CPU.0);
by_jump!(end_context_switch, SET_LAZY_MODE, "mov eax, {mode}"; mode = LazyMode::OFF.0);
// The field first, as Linux does; then the segment's selector as the kernel wrote it in its table, without the
// ring that the ROM has put the kernel into.
by_jump!(
    load_kernel_stack,
    UPDATE_KERNEL_STACK,
    "mov [eax], edx",
    "mov eax, ss",
    "and eax, 0xfffc"
);

/// Loads the descriptor table again that is loaded: the first CPU has one before there is a ROM, and a ROM
/// may want to know it, as ours does to tell CPUs apart.
pub(super) fn tell_gdt() {
    let table = loaded_gdt();
    // SAFETY: it is the table in use.
    unsafe { cpu::load_gdt(&raw const table) };
}

/// The descriptor table that is loaded.
pub(super) fn loaded_gdt() -> DescriptorTablePointer {
    let mut table = DescriptorTablePointer { limit: 0, base: 0 };
    // SAFETY: stores six bytes.
    unsafe { asm!("sgdt [{}]", in(reg) &raw mut table, options(nostack, preserves_flags)) };
    table
}

/// Sets the I/O privilege level, 0 to 3, of the running task. Nothing happens if the ROM has no call for it.
/// Any context.
///
/// # Safety
///
/// Whoever it is for may use all ports.
pub unsafe fn set_io_privilege_level(level: u32) {
    const SHIFT: u32 = 12;
    let mask = (level & 3) << SHIFT;
    // SAFETY: the caller vouches for the task.
    unsafe { call_if_there(Call::SET_IOPL_MASK, [mask, 0, 0], [0; 2]) };
}

/// Whether there is such a debug register; 4 and 5 are other names of 6 and 7.
fn is_debug_register(number: u32) -> bool {
    matches!(number, 0..=3 | 6 | 7)
}

unsafe extern "C" fn read_debug_register(number: u32) -> usize {
    if !is_debug_register(number) {
        return 0;
    }
    // SAFETY: reading has no effect.
    unsafe { call_if_there(Call::GET_DR, [number, 0, 0], [0; 2]) }.unwrap_or(0) as usize
}

unsafe extern "C" fn write_debug_register(number: u32, value: usize) {
    if is_debug_register(number) {
        // SAFETY: the op's caller vouches for the value.
        unsafe { call_if_there(Call::SET_DR, [number, value as u32, 0], [0; 2]) };
    }
}

unsafe extern "C" fn set_task_switched() {
    const TASK_SWITCHED: usize = 1 << 3;
    // SAFETY: the op's caller is ready for #NM.
    unsafe { cpu::write_cr0(cpu::read_cr0() | TASK_SWITCHED) };
}

unsafe extern "C" fn write_idt_entry(
    table: *mut GateDescriptor,
    index: usize,
    gate: *const GateDescriptor,
) {
    // SAFETY: the op's caller vouches for table, index and gate.
    unsafe {
        let gate = gate.read();
        let registers = [table as u32, index as u32, gate.low];
        call_if_there(Call::WRITE_IDT_ENTRY, registers, [gate.high, 0]);
    }
}

unsafe extern "C" fn load_tls(table: *mut u64, first: usize, entries: *const [u64; 3]) {
    // SAFETY: the op's caller vouches for the entries and their places.
    unsafe {
        for (index, entry) in (first..).zip(entries.read()) {
            cpu::write_gdt_entry(table, index, entry);
        }
    }
}
