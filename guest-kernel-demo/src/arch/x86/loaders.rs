//! How loaders are to enter the kernel, besides [Multiboot2](crate::multiboot2): the header of Multiboot,
//! which QEMU and GRUB look for, and the ELF note of small virtual machine monitors and Xen (PVH).

use core::arch::global_asm;

global_asm!(
    // Multiboot Specification 0.6.96, section 3.1. Magic number; flags: modules at whole pages, and a
    // memory map; checksum.
    ".pushsection .multiboot, \"a\", @progbits",
    ".balign 4",
    ".type multiboot_header, @object",
    "multiboot_header: .long 0x1badb002, 3, -(0x1badb002 + 3)",
    ".size multiboot_header, . - multiboot_header",
    ".popsection",
    // XEN_ELFNOTE_PHYS32_ENTRY. Xen's public/elfnote.h.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_entry",
    ".popsection",
);
