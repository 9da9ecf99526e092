//! What a PV guest of Xen needs: notes by which Xen knows how to enter it, in long mode and ring 3, and a
//! start on Xen's tables.

use core::arch::global_asm;

use pvops_backend_xen::pv::{self, AddressLayout};
use pvops_core::cpu;
use pvops_core::probe::Interfaces;

/// Where Xen enters; rsi is the address of what it tells.
extern "C" fn start(start_info: *const u8) -> ! {
    let layout = AddressLayout {
        image: 0,
        direct_map: 0xffff_8880_0000_0000,
    };
    const MAX_FRAMES: u64 = 1 << 18;
    // SAFETY: nobody else runs, no op was used, and the layout is that of the notes.
    match unsafe { pv::start(start_info, layout, MAX_FRAMES) } {
        Ok(_) => crate::run(&Interfaces::scan(&cpu::cpuid)),
        Err(error) => panic!("this kernel can't be a PV guest: {error}"),
    }
}

// The types are of Xen's public/elfnote.h.
global_asm!(
    ".macro xen_note_text type, text",
    ".long 4, 773f - 772f, \\type",
    ".asciz \"Xen\"",
    "772: .asciz \"\\text\"",
    "773: .balign 4",
    ".endm",
    ".macro xen_note_word type, value",
    ".long 4, 8, \\type",
    ".asciz \"Xen\"",
    ".quad \\value",
    ".endm",
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    // ENTRY; VIRT_BASE and PADDR_OFFSET: the image is at its physical address.
    "xen_note_word 1, xen_pv_entry",
    "xen_note_word 3, 0",
    "xen_note_word 4, 0",
    // XEN_VERSION, GUEST_OS, LOADER, PAE_MODE, FEATURES.
    "xen_note_text 5, xen-3.0",
    "xen_note_text 6, minimal",
    "xen_note_text 8, generic",
    "xen_note_text 9, yes",
    "xen_note_text 10, \"!writable_page_tables|pae_pgdir_above_4gb\"",
    // L1_MFN_VALID: a mask and a value of the present bit.
    ".long 4, 16, 13",
    ".asciz \"Xen\"",
    ".quad 1, 1",
    ".popsection",
    ".pushsection .text.entry, \"ax\", @progbits",
    "xen_pv_entry:",
    "cld",
    "mov esp, offset entry_stack_end",
    "mov rdi, rsi",
    "xor ebp, ebp",
    "push 0",
    "jmp {start}",
    ".popsection",
    start = sym start,
);
