//! What an op does to the registers, seen from the outside.

use core::arch::naked_asm;

use pvops_core::{Op, op};

/// All registers but rsp, in the order of their numbers: rax, rcx, rdx, rbx, rbp, rsi, rdi, r8...
pub(crate) type Registers = [u64; 15];

pub(crate) const RAX: usize = 0;
pub(crate) const RCX: usize = 1;
pub(crate) const RDX: usize = 2;
pub(crate) const RBX: usize = 3;
pub(crate) const RSI: usize = 5;
pub(crate) const RDI: usize = 6;

/// A pattern in each register.
pub(crate) fn pattern() -> Registers {
    std::array::from_fn(|index| 0x1111_1111_1111_1111 * (index as u64 + 1))
}

macro_rules! through_the_table {
    ($($(#[$doc:meta])* $function:ident = $group:ident::$name:ident;)*) => {
        $(
            $(#[$doc])*
            #[unsafe(naked)]
            pub(crate) unsafe extern "C" fn $function(
                registers: *mut Registers,
                misalign: usize,
            ) {
                naked_asm!(
                    "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
                    "mov rax, rsp",
                    // With `misalign` 8 the stack is not aligned, as at preserve sites of kernels.
                    "sub rsp, rsi",
                    "push rax",
                    "push rdi",
                    "mov rax, [rdi]",
                    "mov rcx, [rdi + 8]",
                    "mov rdx, [rdi + 16]",
                    "mov rbx, [rdi + 24]",
                    "mov rbp, [rdi + 32]",
                    "mov rsi, [rdi + 40]",
                    "mov r8, [rdi + 56]",
                    "mov r9, [rdi + 64]",
                    "mov r10, [rdi + 72]",
                    "mov r11, [rdi + 80]",
                    "mov r12, [rdi + 88]",
                    "mov r13, [rdi + 96]",
                    "mov r14, [rdi + 104]",
                    "mov r15, [rdi + 112]",
                    "mov rdi, [rdi + 48]",
                    "call qword ptr [rip + pvops_op_table + {slot}]",
                    "xchg rdi, [rsp]",
                    "mov [rdi], rax",
                    "mov [rdi + 8], rcx",
                    "mov [rdi + 16], rdx",
                    "mov [rdi + 24], rbx",
                    "mov [rdi + 32], rbp",
                    "mov [rdi + 40], rsi",
                    "mov [rdi + 56], r8",
                    "mov [rdi + 64], r9",
                    "mov [rdi + 72], r10",
                    "mov [rdi + 80], r11",
                    "mov [rdi + 88], r12",
                    "mov [rdi + 96], r13",
                    "mov [rdi + 104], r14",
                    "mov [rdi + 112], r15",
                    "pop rax",
                    "mov [rdi + 48], rax",
                    "pop rsp",
                    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
                    "ret",
                    slot = const <op::$group::$name as Op>::NUMBER.0 as usize * 8,
                )
            }
        )*
    };
}

through_the_table! {
    /// `irq.disable`: no operands.
    disable = irq::disable;
    /// `irq.save_flags`: a result.
    save_flags = irq::save_flags;
    /// `irq.restore_flags`: an argument.
    restore_flags = irq::restore_flags;
    /// `mmu.set_pte`: two arguments.
    set_pte = mmu::set_pte;
    /// `cpu.read_msr`.
    read_msr = cpu::read_msr;
    /// `cpu.write_msr`.
    write_msr = cpu::write_msr;
    /// `cpu.read_tsc`.
    read_tsc = cpu::read_tsc;
    /// `cpu.read_fs_base`.
    read_fs_base = cpu::read_fs_base;
    /// `cpu.write_fs_base`.
    write_fs_base = cpu::write_fs_base;
    /// `cpu.write_gdt_entry`: three arguments.
    write_gdt_entry = cpu::write_gdt_entry;
    /// `io.in8`.
    in8 = io::in8;
    /// `io.out8`.
    out8 = io::out8;
    /// `cpu.cpuid`.
    cpuid = cpu::cpuid;
}
