//! The headers by which loaders know the kernel, and the way from their 32-bit entry to Rust in long mode.
//!
//! GRUB reads the header of Multiboot2 (Multiboot2 Specification 2.0, section 3.1), QEMU and many others that
//! of Multiboot (Multiboot Specification 0.6.96, section 3.1). Both enter with flat 32-bit segments, paging
//! off, a magic number in EAX and the address of what they tell in EBX. Xen reads the note of PVH (its
//! public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY) and enters in the same way, but for EAX. The tables here map the
//! first 4 GiB where they are, the last of them uncached, as a PC has its devices there.

use core::arch::global_asm;

global_asm!(
    ".pushsection .head, \"ax\", @progbits",
    // Pages aligned, memory map wanted, addresses below.
    ".balign 4",
    "multiboot:",
    ".long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)",
    ".long multiboot, image_start, image_data_end, image_end, entry",
    ".balign 8",
    // For i386; no tag but the end.
    "771: .long 0xe85250d6, 0, 772f - 771b, -(0xe85250d6 + 772f - 771b)",
    ".short 0, 0",
    ".long 8",
    "772:",
    ".code32",
    "entry_of_pvh:",
    // XEN_HVM_START_MAGIC_VALUE of Xen's public/arch-x86/hvm/start_info.h, which what EBX leads to begins with.
    "mov eax, 0x336ec578",
    ".global entry",
    "entry:",
    "cld",
    "cli",
    "mov edi, eax",
    "mov esi, ebx",
    "lgdt [entry_gdt_pointer]",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov esp, offset entry_stack_end",
    // CR4: PAE. EFER: long mode. CR0: paging and protection.
    "mov eax, 1 << 5",
    "mov cr4, eax",
    "mov eax, offset entry_pml4",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 1 << 8",
    "wrmsr",
    "mov eax, 0x80000011",
    "mov cr0, eax",
    "push 0x08",
    "mov eax, offset entry_long",
    "push eax",
    "retf",
    ".code64",
    "entry_long:",
    "mov edi, edi",
    "mov esi, esi",
    "mov esp, offset entry_stack_end",
    "xor ebp, ebp",
    // A return address, and the alignment that a call leaves.
    "push 0",
    "jmp {start}",
    ".popsection",

    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long entry_of_pvh",
    ".popsection",

    ".pushsection .data.entry, \"aw\", @progbits",
    ".balign 4096",
    "entry_pml4: .quad entry_pdpt + 3",
    ".balign 4096",
    "entry_pdpt:",
    ".irp number, 0, 1, 2, 3",
    ".quad entry_pd + \\number * 4096 + 3",
    ".endr",
    ".balign 4096",
    // Pages of 2 MiB: present and writable; from 3 GiB on write-through and uncached.
    "entry_pd:",
    ".set entry_page, 0x83",
    ".rept 3 * 512",
    ".quad entry_page",
    ".set entry_page, entry_page + 0x200000",
    ".endr",
    ".rept 512",
    ".quad entry_page + 0x18",
    ".set entry_page, entry_page + 0x200000",
    ".endr",
    // None, 64-bit code, data.
    "entry_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "entry_gdt_pointer: .short 23",
    ".long entry_gdt",
    ".popsection",

    ".pushsection .bss.entry, \"aw\", @nobits",
    ".balign 16",
    ".skip 64 * 1024",
    "entry_stack_end:",
    ".popsection",
    start = sym crate::start,
);
