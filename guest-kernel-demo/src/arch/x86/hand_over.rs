//! What the [trampoline](crate::hand_over) to another kernel begins with: 32-bit code, paging still on.

use core::arch::asm;

/// Goes to the trampoline.
///
/// # Safety
///
/// It is at that address, both virtual and physical, and executable; nothing is left to do.
pub(crate) unsafe fn jump(address: usize) -> ! {
    // SAFETY: as the caller vouches; the trampoline needs its address and some stack.
    unsafe { asm!("jmp edi", in("edi") address, options(noreturn)) }
}

/// From the entry, with the address in edi, to the trampoline's own segments, with the address in ebx.
macro_rules! hand_over_head {
    () => {
        "cli
        cld
        mov ebx, edi
        mov eax, offset hand_over_gdt
        sub eax, offset hand_over_start
        add eax, ebx
        mov word ptr [esp - 10], {gdt_limit}
        mov [esp - 8], eax
        lgdt [esp - 10]
        push 0x08
        mov eax, offset hand_over_32
        sub eax, offset hand_over_start
        add eax, ebx
        push eax
        retf"
    };
}

/// Back to this kernel's own code size, which it is.
macro_rules! hand_over_end {
    () => {
        ""
    };
}

pub(crate) use {hand_over_end, hand_over_head};
