//! Executing what was written.

use core::arch::naked_asm;

/// Serialises this CPU by an IRET to where it is (Intel SDM volume 3, section 10.3): no op, for that
/// might be what was written, and without an exit on any host.
#[unsafe(naked)]
pub(crate) extern "C" fn serialize() {
    naked_asm!(
        "mov rax, rsp",
        "mov ecx, ss",
        "push rcx",
        "push rax",
        "pushfq",
        "mov ecx, cs",
        "push rcx",
        "lea rcx, [rip + 2f]",
        "push rcx",
        "iretq",
        "2: ret",
    )
}
