//! Instructions at known addresses, for the self-test.

use core::arch::naked_asm;

use pvops_core::op::cpu::read_performance_counter;
use pvops_core::{Op, asm_op, asm_site, extable_entry, op};

/// The byte at an address, or 256 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read(address: usize) -> u32 {
    naked_asm!(
        "mov eax, 256",
        "771: movzx eax, byte ptr [rdi]",
        "772: ret",
        extable_entry!("771b", "772b"),
    )
}

/// Writes back the byte at an address; 1 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn write(address: usize) -> u32 {
    naked_asm!(
        "mov eax, 1",
        "773: mov cl, byte ptr [rdi]",
        "771: mov byte ptr [rdi], cl",
        "xor eax, eax",
        "772: ret",
        extable_entry!("773b", "772b"),
        extable_entry!("771b", "772b"),
    )
}

/// Jumps to a `ret` in writable data; 1 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn execute() -> u32 {
    naked_asm!(
        ".pushsection .data.execute, \"aw\", @progbits",
        "771: ret",
        ".popsection",
        "xor eax, eax",
        "lea rcx, [rip + 771b]",
        "jmp rcx",
        "772: mov eax, 1",
        "ret",
        extable_entry!("771b", "772b"),
    )
}

/// A site of `cpu.read_cr4` at a stack pointer that is `misalign` (0 or 8) below a multiple of 16.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read_cr4(misalign: usize) -> usize {
    naked_asm!(
        "push rbx",
        "mov rbx, rsp",
        "sub rsp, rdi",
        "771:",
        "call qword ptr [rip + pvops_op_table + {slot}]",
        ".skip {length} - 6, 0x90",
        ".pushsection pvops_sites, \"aR\", @progbits",
        ".balign 4",
        ".long 771b - .",
        ".short {op}",
        ".byte {length}, 0",
        ".popsection",
        "mov rsp, rbx",
        "pop rbx",
        "ret",
        slot = const <op::cpu::read_cr4 as Op>::NUMBER.0 as usize * size_of::<usize>(),
        op = const <op::cpu::read_cr4 as Op>::NUMBER.0,
        length = const <op::cpu::read_cr4 as Op>::SITE_LENGTH,
    )
}

/// Returns the counter with the top bit clear, or all ones after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read_counter(counter: u32) -> u64 {
    naked_asm!(
        "mov ecx, edi",
        "771:",
        asm_site!("rdpmc"),
        "shl rdx, 32",
        "or rax, rdx",
        "btr rax, 63",
        "ret",
        "772: mov rax, -1",
        "ret",
        extable_entry!("771b", "772b"),
        rdpmc = const asm_op::<read_performance_counter>(),
    )
}
