//! The ROM's beginning: its headers, what the BIOS calls, and the two entries at fixed places.
//!
//! At POST the ROM is still writable. It takes [`SIZE_KIB`] KiB from the top of
//! the memory below 640 KiB: from INT 12h by the word at 40:13, from INT 15h, AX=E820h, by a hook. It
//! notes where that is in itself, and mends its checksum.

use core::arch::global_asm;

use super::count::read_count;
use super::init::initialize;
use super::state::{MAGIC, SIZE_KIB, State};
use crate::abi::extension;
use crate::abi::header::{
    API_MAJOR, API_MINOR, GET_RELOCATION_OFFSET, Header, INIT_OFFSET, LENGTH_UNIT, PciHeader,
    PnpHeader, SIGNATURE, VMI_SIGNATURE,
};

/// The guest leaves this much at the top of its address space to the ROM: one large page for the local
/// APIC ([`window`](super::window)).
const VIRTUAL_TOP: u32 = 0xFFC0_0000;

// The lengths and the checksums are filled in by xtask; the ROM's is in the byte after the BIOS entry.
global_asm!(
    ".pushsection .rom.head, \"awx\", @progbits",
    ".globl rom_start",
    ".code16",
    "rom_start:",
    ".short {signature}",
    ".byte 0",
    "jmp post",
    ". = rom_start + 7",
    "rom_checksum: .byte 0",
    ".long {vmi_signature}",
    ".byte {minor}, {major}, 2, 0",
    ".long {virtual_top}",
    ".short 0",
    ".short license - rom_start",
    ".short pci_header - rom_start",
    ".short pnp_header - rom_start",
    ".long 0",
    ". = rom_start + {extension}",
    ".long {extension_signature}",
    ".long read_count_entry - rom_start",
    ". = rom_start + {init}",
    ".code32",
    "jmp init_entry",
    ". = rom_start + {get_relocation}",
    "jmp get_relocation_entry",
    ". = rom_start + {size}",
    "license: .asciz \"GPL\"",
    "manufacturer: .asciz \"pvops\"",
    "product: .asciz \"pvops VMI ROM\"",
    ".balign 4",
    "pci_header:",
    ".long {pci_signature}",
    ".short {vendor}, {device}, 0, 24",
    // Revision, class "memory controller, other", programming interface.
    ".byte 0, 5, 0x80, 0",
    ".short 0",
    ".byte 0, 1, 0, 0x80",
    ".short 0",
    ".balign 16",
    // The boot vectors after the part that VMI knows are none.
    "pnp_header:",
    ".long {pnp_signature}",
    ".byte 1, 2",
    ".short 0",
    ".byte 0, 0",
    ".long 0",
    ".short manufacturer - rom_start, product - rom_start",
    ". = pnp_header + 32",
    signature = const SIGNATURE,
    vmi_signature = const VMI_SIGNATURE,
    minor = const API_MINOR,
    major = const API_MAJOR,
    virtual_top = const VIRTUAL_TOP,
    extension = const extension::OFFSET,
    extension_signature = const extension::SIGNATURE,
    init = const INIT_OFFSET,
    get_relocation = const GET_RELOCATION_OFFSET,
    size = const size_of::<Header>(),
    pci_signature = const PciHeader::SIGNATURE,
    vendor = const PciHeader::VENDOR,
    device = const PciHeader::DEVICE,
    pnp_signature = const PnpHeader::SIGNATURE,
    options(att_syntax)
);

// What POST writes into the ROM.
global_asm!(
    ".balign 4",
    // From the ROM to its memory.
    "rom_to_state: .long 0",
    "rom_physical: .long 0",
    "old_int15: .long 0",
    "state_physical: .long 0",
);

// POST: a far call in real mode, or in a mode that looks like it. Everything is kept but AX, which says
// that there is nothing to boot from.
global_asm!(
    ".code16",
    "post:",
    "pushfw",
    "cli",
    "cld",
    "pushal",
    "pushw %ds",
    "pushw %es",
    "movw $0x40, %ax",
    "movw %ax, %ds",
    "movzwl 0x13, %eax",
    "subw ${kib}, %ax",
    "andw $0xFFFC, %ax",
    "movw %ax, 0x13",
    "shll $10, %eax",
    "movl %eax, %edx",
    "shrl $4, %eax",
    "movw %ax, %es",
    "xorw %di, %di",
    "xorl %eax, %eax",
    "movw ${dwords}, %cx",
    "rep stosl",
    "movl ${magic}, %es:{magic_offset}",
    "movl %edx, %es:{physical_offset}",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "xorw %ax, %ax",
    "movw %ax, %es",
    "movl %edx, state_physical - rom_start",
    "movl %es:0x54, %eax",
    "movl %eax, old_int15 - rom_start",
    "movw $(int15 - rom_start), %es:0x54",
    "movw %cs, %es:0x56",
    "movw %cs, %ax",
    "movzwl %ax, %eax",
    "shll $4, %eax",
    "movl %eax, rom_physical - rom_start",
    "subl %eax, %edx",
    "movl %edx, rom_to_state - rom_start",
    "movzbw 2, %cx",
    "shlw $9, %cx",
    "xorw %si, %si",
    "post_sum: xorw %bx, %bx",
    "2: lodsb",
    "addb %al, %bl",
    "loop 2b",
    "subb %bl, rom_checksum - rom_start",
    "popw %es",
    "popw %ds",
    "popal",
    "popfw",
    "xorw %ax, %ax",
    "lretw",

    // INT 15h, AX=E820h: memory that would reach into ours ends before it.
    "int15:",
    "cmpw $0xE820, %ax",
    "je 3f",
    "ljmpw *%cs:old_int15 - rom_start",
    "3: pushfw",
    "lcallw *%cs:old_int15 - rom_start",
    "pushw %bp",
    "movw %sp, %bp",
    "jc 4f",
    "andw $0xFFFE, 6(%bp)",
    "pushl %eax",
    "cmpl $1, %es:16(%di)",
    "jne 5f",
    "cmpl $0, %es:4(%di)",
    "jne 5f",
    "cmpl $0, %es:12(%di)",
    "jne 5f",
    "movl %cs:state_physical - rom_start, %eax",
    "subl %es:(%di), %eax",
    "jbe 5f",
    "cmpl %eax, %es:8(%di)",
    "jbe 5f",
    // Only what is below 640 KiB: the memory above the first megabyte begins behind our own.
    "movl %eax, %es:8(%di)",
    "5: popl %eax",
    "popw %bp",
    "iretw",
    "4: orw $1, 6(%bp)",
    "popw %bp",
    "iretw",
    ".code32",
    kib = const SIZE_KIB,
    dwords = const SIZE_KIB * 1024 / 4,
    magic = const MAGIC,
    magic_offset = const core::mem::offset_of!(State, magic),
    physical_offset = const core::mem::offset_of!(State, physical),
    options(att_syntax)
);

// The fixed entries, and where the ROM and its memory are.
global_asm!(
    "init_entry: jmp {initialize}",
    // EAX is the number.
    "read_count_entry:",
    "pushl %eax",
    "call {read_count}",
    "addl $4, %esp",
    "ret",
    ".globl rom_address",
    "rom_address:",
    "call 1f",
    "1: popl %eax",
    "subl $(1b - rom_start), %eax",
    "ret",
    ".globl state_address",
    "state_address:",
    "call 1f",
    "1: popl %eax",
    "movl (rom_to_state - 1b)(%eax), %ecx",
    "leal (rom_start - 1b)(%eax,%ecx), %eax",
    "ret",
    ".globl state_distance",
    "state_distance:",
    "call 1f",
    "1: popl %eax",
    "movl (rom_to_state - 1b)(%eax), %eax",
    "ret",
    ".globl rom_physical_address",
    "rom_physical_address:",
    "call 1f",
    "1: popl %eax",
    "movl (rom_physical - 1b)(%eax), %eax",
    "ret",
    ".popsection",
    initialize = sym initialize,
    read_count = sym read_count,
    options(att_syntax)
);

const _: () = assert!(LENGTH_UNIT == 512);

unsafe extern "C" {
    /// Where the guest has mapped the ROM.
    pub(super) safe fn rom_address() -> u32;
    /// Where the guest has mapped the ROM's memory.
    pub(super) safe fn state_address() -> u32;
    /// From the ROM to its memory; 0 if the BIOS has not called the ROM.
    pub(super) safe fn state_distance() -> u32;
    /// Where the ROM lies in physical memory.
    pub(super) safe fn rom_physical_address() -> u32;
}
