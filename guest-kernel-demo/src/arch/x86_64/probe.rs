//! Instructions at known addresses, for the self-test, and what it must know of the CPU.

use core::arch::{asm, naked_asm};

use pvops_core::op::cpu::read_performance_counter;
use pvops_core::{Op, asm_op, asm_site, cpu, extable_entry, op};

/// A model-specific register that takes any address: where SWAPGS gets the base of GS from, which nobody
/// uses here. Intel SDM volume 4, table 2-2.
pub(crate) const ADDRESS_MSR: u32 = 0xc000_0102;

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

/// The byte at a port, or 256 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read_port(port: u16) -> u32 {
    naked_asm!(
        "mov edx, edi",
        "771:",
        asm_site!("in8"),
        "movzx eax, al",
        "ret",
        "772: mov eax, 256",
        "ret",
        extable_entry!("771b", "772b"),
        in8 = const asm_op::<op::io::in8>(),
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

/// Four bases that [`base_of`] finds.
pub(crate) fn bases() -> [usize; 4] {
    [0x1111_1000, 0x2222_2000, 0x3333_3000, 0x4444_4000]
}

/// Loads ES.
///
/// # Safety
///
/// The selector names a data segment, or is 0.
pub(crate) unsafe fn load_es(selector: u16) {
    // SAFETY: the caller vouches for the selector; 64-bit code uses ES for nothing.
    unsafe { asm!("mov es, {:x}", in(reg) selector, options(nomem, nostack, preserves_flags)) };
}

/// The selector in ES.
pub(crate) fn es() -> u16 {
    let selector: u16;
    // SAFETY: reading has no effect.
    unsafe { asm!("mov {:x}, es", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    selector
}

/// The base of a segment.
///
/// # Safety
///
/// The selector names a data segment; nobody uses FS meanwhile.
pub(crate) unsafe fn base_of(selector: u16) -> usize {
    let before = cpu::read_fs_base();
    // SAFETY: the caller vouches for the selector, and FS ends as it was.
    unsafe {
        asm!("mov fs, {:x}", in(reg) selector, options(nostack));
        let base = cpu::read_fs_base();
        asm!("mov fs, {:x}", in(reg) 0_u16, options(nostack));
        cpu::write_fs_base(before);
        base
    }
}
