//! Call sites with a pattern in all registers around them.

use core::arch::naked_asm;

use pvops_core::{Op, op};

/// All registers but rsp, in the order of their numbers: rax, rcx, rdx, rbx, rbp, rsi, rdi, r8...
pub(crate) type Registers = [u64; 15];

pub(crate) const RAX: usize = 0;
pub(crate) const RDI: usize = 6;

/// How many sites [`many`] runs.
pub(crate) const MANY: u64 = 150;

macro_rules! through_a_site {
    ($($(#[$doc:meta])* $function:ident = $count:literal of $group:ident::$name:ident;)*) => {
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
                    // The site lies across two cache lines, which are fetched one after the other.
                    "jmp 773f",
                    ".balign 64, 0xcc",
                    ".skip 61, 0xcc",
                    "773:",
                    ".rept {count}",
                    "771:",
                    "call qword ptr [rip + pvops_op_table + {slot}]",
                    ".skip {length} - 6, 0x90",
                    ".pushsection pvops_sites, \"aR\", @progbits",
                    ".balign 4",
                    ".long 771b - .",
                    ".short {op}",
                    ".byte {length}, 0",
                    ".popsection",
                    ".endr",
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
                    count = const $count,
                    slot = const <op::$group::$name as Op>::NUMBER.0 as usize * 8,
                    op = const <op::$group::$name as Op>::NUMBER.0,
                    length = const <op::$group::$name as Op>::SITE_LENGTH,
                )
            }
        )*
    };
}

through_a_site! {
    /// `mmu.entry_value`: rdi is the value, rax the result.
    value = 1 of mmu::entry_value;
    /// `mmu.flush_tlb_page`: rdi is the address of a word.
    count = 1 of mmu::flush_tlb_page;
    /// More sites than a batch holds.
    many = 150 of io::delay;
    /// `apic.eoi`, whose site is longer than a call.
    end = 1 of apic::eoi;
}

/// A pattern in each register.
pub(crate) fn pattern() -> Registers {
    std::array::from_fn(|index| 0x1111_1111_1111_1111 * (index as u64 + 1))
}
