//! The header by which GRUB knows how to load and enter the kernel. Multiboot2 Specification 2.0, section
//! 3.1. It has the segments that the ELF file asks for.

use core::arch::global_asm;

global_asm!(
    ".pushsection .multiboot2, \"a\", @progbits",
    ".balign 8",
    "771:",
    // Magic number, architecture (i386, protected mode), length, and what makes the sum 0.
    ".long {magic}, 0, 772f - 771b",
    ".long -({magic} + 772f - 771b)",
    // Where to enter (3.1.7): the ELF entry is PVH's.
    ".short 3, 0",
    ".long 12, multiboot2_entry",
    ".balign 8",
    // The end.
    ".short 0, 0",
    ".long 8",
    "772:",
    ".popsection",
    magic = const 0xe852_50d6_u32,
);
