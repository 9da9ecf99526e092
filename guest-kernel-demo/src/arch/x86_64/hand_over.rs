//! What the [trampoline](crate::hand_over) to another kernel begins with: the way out of 64-bit mode.

use core::arch::asm;

/// Goes to the trampoline.
///
/// # Safety
///
/// It is at that address, both virtual and physical, and executable; nothing is left to do.
pub(crate) unsafe fn jump(address: usize) -> ! {
    // SAFETY: as the caller vouches; the trampoline needs its address and some stack.
    unsafe { asm!("jmp rdi", in("rdi") address, options(noreturn)) }
}

/// From the entry, with the address in edi, to 32-bit code on the trampoline's own segments, with the
/// address in ebx.
macro_rules! hand_over_head {
    () => {
        ".code64
        cli
        cld
        mov ebx, edi
        lea rax, [rip + hand_over_gdt]
        mov word ptr [rsp - 10], {gdt_limit}
        mov [rsp - 8], rax
        lgdt [rsp - 10]
        push 0x08
        lea rax, [rip + hand_over_32]
        push rax
        retfq
        .code32"
    };
}

/// Back to this kernel's own code size.
macro_rules! hand_over_end {
    () => {
        ".code64"
    };
}

pub(crate) use {hand_over_end, hand_over_head};
