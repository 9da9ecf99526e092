//! ELF notes: how loaders are to enter the kernel. Xen's public/elfnote.h.
//!
//! Small virtual machine monitors, QEMU and Xen (PVH) look for the 32-bit entry, Xen for the others, too,
//! if it is to start a PV guest.

use core::arch::global_asm;

use super::layout::KERNEL_OFFSET;

global_asm!(
    ".macro xen_note_text type, text",
    // Name size, description size, type, name, description.
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
    // XEN_ELFNOTE_PHYS32_ENTRY; some loaders take only four bytes.
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_entry - {offset}",
    // XEN_ELFNOTE_ENTRY, _VIRT_BASE, _PADDR_OFFSET: where the image is, and physical address 0.
    "xen_note_word 1, xen_pv_entry",
    "xen_note_word 3, {offset}",
    "xen_note_word 4, 0",
    // _XEN_VERSION, _GUEST_OS, _LOADER, _PAE_MODE, _FEATURES.
    "xen_note_text 5, xen-3.0",
    "xen_note_text 6, pvops",
    "xen_note_text 8, generic",
    "xen_note_text 9, yes",
    "xen_note_text 10, \"!writable_page_tables|pae_pgdir_above_4gb\"",
    // _L1_MFN_VALID: a mask and a value of the present bit.
    ".long 4, 16, 13",
    ".asciz \"Xen\"",
    ".quad 1, 1",
    // _MOD_START_PFN: the module need not be mapped.
    ".long 4, 4, 16",
    ".asciz \"Xen\"",
    ".long 1",
    ".popsection",
    offset = const KERNEL_OFFSET,
);
