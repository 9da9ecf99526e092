//! Registers, descriptor tables and counters.

use core::arch::{asm, naked_asm};

use pvops_core::msr::MsrWrite;
use pvops_core::op::RegisterPair;
use pvops_core::{call, extable_entry, inline};

pub(crate) const BINDINGS: pvops_core::bindings::cpu = pvops_core::bindings::cpu {
    read_cr0: inline!(cpu::read_cr0, "mov rax, cr0"),
    write_cr0: inline!(cpu::write_cr0, "mov cr0, rdi"),
    read_cr4: inline!(cpu::read_cr4, "mov rax, cr4"),
    write_cr4: inline!(cpu::write_cr4, "mov cr4, rdi"),
    read_debug_register: call!(cpu::read_debug_register, read_debug_register),
    write_debug_register: call!(cpu::write_debug_register, write_debug_register),
    cpuid: inline!(cpu::cpuid, "cpuid"),
    read_msr: inline!(cpu::read_msr, "rdmsr"),
    write_msr: inline!(cpu::write_msr, "wrmsr"),
    read_msr_safe: call!(cpu::read_msr_safe, read_msr_safe),
    write_msr_safe: call!(cpu::write_msr_safe, write_msr_safe),
    read_tsc: inline!(cpu::read_tsc, "rdtsc"),
    read_tsc_ordered: inline!(cpu::read_tsc_ordered, "lfence", "rdtsc"),
    load_gdt: inline!(cpu::load_gdt, "lgdt [rdi]"),
    load_idt: inline!(cpu::load_idt, "lidt [rdi]"),
    load_ldt: inline!(cpu::load_ldt, "lldt di"),
    load_task_register: inline!(cpu::load_task_register, "ltr di"),
};

macro_rules! debug_registers {
    ($($number:literal $name:literal),*) => {
        unsafe extern "C" fn read_debug_register(number: u32) -> usize {
            match number {
                $($number => {
                    let value;
                    // SAFETY: reading a debug register has no effect.
                    unsafe {
                        asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack))
                    };
                    value
                })*
                _ => 0,
            }
        }

        unsafe extern "C" fn write_debug_register(number: u32, value: usize) {
            match number {
                // SAFETY: the op's caller vouches for the value.
                $($number => unsafe {
                    asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack))
                },)*
                _ => {}
            }
        }
    };
}

debug_registers!(0 "dr0", 1 "dr1", 2 "dr2", 3 "dr3", 6 "dr6", 7 "dr7");

#[unsafe(naked)]
unsafe extern "C" fn read_msr_safe(index: u32) -> RegisterPair {
    naked_asm!(
        "mov ecx, edi",
        // The second word: 1 unless RDMSR and what follows are done.
        "mov edi, 1",
        "771: rdmsr",
        "shl rdx, 32",
        "or rax, rdx",
        "xor edi, edi",
        "772: mov edx, edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}

#[unsafe(naked)]
unsafe extern "C" fn write_msr_safe(index: u32, value: u64) -> MsrWrite {
    naked_asm!(
        "mov ecx, edi",
        "mov eax, esi",
        "mov rdx, rsi",
        "shr rdx, 32",
        "mov edi, 1",
        "771: wrmsr",
        "xor edi, edi",
        "772: mov eax, edi",
        "ret",
        extable_entry!("771b", "772b"),
    )
}
