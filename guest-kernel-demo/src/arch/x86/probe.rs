//! Instructions at known addresses, for the self-test, and what it must know of the CPU.

use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;

use pvops_core::op::cpu::read_performance_counter;
use pvops_core::{Op, asm_op, asm_site, extable_entry, op};

/// A model-specific register that takes any address: that of SYSENTER's entry, which is put back.
pub(crate) const ADDRESS_MSR: u32 = 0x176;

/// The byte at an address, or 256 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read(address: usize) -> u32 {
    naked_asm!(
        "mov ecx, [esp + 4]",
        "mov eax, 256",
        "771: movzx eax, byte ptr [ecx]",
        "772: ret",
        extable_entry!("771b", "772b"),
    )
}

/// Writes back the byte at an address; 1 after a fault.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn write(address: usize) -> u32 {
    naked_asm!(
        "mov edx, [esp + 4]",
        "mov eax, 1",
        "773: mov cl, byte ptr [edx]",
        "771: mov byte ptr [edx], cl",
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
        "lea ecx, [771b]",
        "jmp ecx",
        "772: mov eax, 1",
        "ret",
        extable_entry!("771b", "772b"),
    )
}

/// A site of `cpu.read_cr4` at a stack pointer that is `misalign` (0 or 8) below a multiple of 16.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn read_cr4(misalign: usize) -> usize {
    naked_asm!(
        "push ebx",
        "mov ebx, esp",
        "and esp, -16",
        "sub esp, [ebx + 8]",
        "771:",
        "call dword ptr [pvops_op_table + {slot}]",
        ".skip {length} - 6, 0x90",
        ".pushsection pvops_sites, \"aR\", @progbits",
        ".balign 4",
        ".long 771b - .",
        ".short {op}",
        ".byte {length}, 0",
        ".popsection",
        "mov esp, ebx",
        "pop ebx",
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
        "mov ecx, [esp + 4]",
        "771:",
        asm_site!("rdpmc"),
        "btr edx, 31",
        "ret",
        "772: mov eax, -1",
        "mov edx, -1",
        "ret",
        extable_entry!("771b", "772b"),
        rdpmc = const asm_op::<read_performance_counter>(),
    )
}

/// Four bases that [`base_of`] finds: at each is its own address.
pub(crate) fn bases() -> [usize; 4] {
    struct Words(UnsafeCell<[usize; 4]>);
    // SAFETY: what is written is always the same.
    unsafe impl Sync for Words {}
    static WORDS: Words = Words(UnsafeCell::new([0; 4]));
    core::array::from_fn(|index| {
        let word = WORDS.0.get().cast::<usize>().wrapping_add(index);
        // SAFETY: the words are there, and nobody else uses them.
        unsafe { word.write_volatile(word.addr()) };
        word.addr()
    })
}

/// The base of a segment, at which is its own address.
///
/// # Safety
///
/// The selector names a data segment whose base is one of [`bases`].
pub(crate) unsafe fn base_of(selector: u16) -> usize {
    let base;
    // SAFETY: the kernel does not use GS.
    unsafe {
        asm!(
            "mov gs, {selector:x}",
            "mov {base}, gs:[0]",
            "mov gs, {null:x}",
            selector = in(reg) selector,
            null = in(reg) 0_u16,
            base = out(reg) base,
            options(nostack),
        );
    }
    base
}
