//! The first instructions: from the 32-bit PVH entry to Rust, in long mode at -2 GiB.
//!
//! PVH (Xen public/arch-x86/hvm/start_info.h): flat 32-bit segments, paging off, ebx = physical
//! address of the start info. The segments of some loaders end at 256 MiB, so ours come first. The
//! tables here map the first 4 GiB three times: at their own addresses for the switch itself, at
//! [`DIRECT_MAP`] and, the first GiB, at [`KERNEL_OFFSET`]. They serve until
//! [`paging`](crate::paging) has made proper ones.

use core::arch::global_asm;

use super::layout::{DIRECT_MAP, KERNEL_OFFSET};

/// The time-stamp counter at the entry.
pub(crate) fn start_tsc() -> u64 {
    unsafe extern "C" {
        safe static entry_tsc: u64;
    }
    entry_tsc
}

/// Size of the boot stack, which stays the stack of the first CPU.
const STACK_BYTES: usize = 64 * 1024;

const PRESENT_WRITABLE: u32 = 0b11;
const LARGE_PAGE: u32 = 1 << 7;

global_asm!(
    ".pushsection .text.entry, \"ax\", @progbits",
    ".code32",
    ".global pvh_entry",
    ".type pvh_entry, @function",
    "pvh_entry:",
    "cld",
    "cli",
    "lgdt [entry_gdt_pointer - {offset}]",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov esp, offset entry_stack_end - {offset}",
    "mov esi, ebx",
    "rdtsc",
    "mov [entry_tsc - {offset}], eax",
    "mov [entry_tsc - {offset} + 4], edx",

    // 2 MiB pages for 4 GiB: four page directories in a row.
    "mov edi, offset entry_pd - {offset}",
    "mov eax, {page}",
    "xor edx, edx",
    "2: mov [edi], eax",
    "mov [edi + 4], edx",
    "add edi, 8",
    "add eax, 0x200000",
    "jnc 2b",
    // Four entries of one pdpt for the first 4 GiB; the other has the top 2 GiB.
    "mov eax, offset entry_pd - {offset} + {table}",
    "mov [entry_pdpt_high - {offset} + 510 * 8], eax",
    "mov edi, offset entry_pdpt_low - {offset}",
    "mov ecx, 4",
    "3: mov [edi], eax",
    "add edi, 8",
    "add eax, 0x1000",
    "dec ecx",
    "jnz 3b",
    "mov eax, offset entry_pdpt_low - {offset} + {table}",
    "mov [entry_pml4 - {offset}], eax",
    "mov [entry_pml4 - {offset} + {direct_index} * 8], eax",
    "mov eax, offset entry_pdpt_high - {offset} + {table}",
    "mov [entry_pml4 - {offset} + 511 * 8], eax",

    // CR4: PAE and PGE. EFER: long mode and no-execute. CR0: paging, write protection, and an FPU
    // that nobody uses.
    "mov eax, 0xa0",
    "mov cr4, eax",
    "mov eax, offset entry_pml4 - {offset}",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    "mov eax, 0x80010033",
    "mov cr0, eax",
    "push 0x08",
    "mov eax, offset entry_long - {offset}",
    "push eax",
    "retf",

    ".code64",
    "entry_long:",
    "mov rsp, offset entry_stack_end",
    "mov edi, esi",
    "mov rax, offset {start}",
    "xor ebp, ebp",
    // A return address of 0, and the alignment that a call leaves.
    "push 0",
    "jmp rax",
    ".size pvh_entry, . - pvh_entry",

    // Xen enters a PV guest in 64-bit mode, on its tables; rsi = virtual address of the start info.
    ".global xen_pv_entry",
    ".type xen_pv_entry, @function",
    "xen_pv_entry:",
    "cld",
    "rdtsc",
    "mov [rip + entry_tsc], eax",
    "mov [rip + entry_tsc + 4], edx",
    "mov rsp, offset entry_stack_end",
    "mov rdi, rsi",
    "xor ebp, ebp",
    "push 0",
    "jmp {start_xen_pv}",
    ".size xen_pv_entry, . - xen_pv_entry",
    ".popsection",

    ".pushsection .rodata.entry, \"a\", @progbits",
    ".balign 8",
    "entry_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    // A flat 32-bit code segment is what the entry runs in already; the far return leaves it.
    "entry_gdt_pointer: .short 23",
    ".long entry_gdt - {offset}",
    ".popsection",

    ".pushsection .data.entry, \"aw\", @progbits",
    ".balign 8",
    ".global entry_tsc",
    "entry_tsc: .quad 0",
    ".popsection",

    ".pushsection .bss.entry, \"aw\", @nobits",
    ".balign 4096",
    "entry_pml4: .skip 4096",
    "entry_pdpt_low: .skip 4096",
    "entry_pdpt_high: .skip 4096",
    "entry_pd: .skip 4 * 4096",
    // Not mapped once paging has made its tables: a stack that runs over faults.
    ".global entry_stack_guard",
    "entry_stack_guard: .skip 4096",
    ".skip {stack}",
    ".global entry_stack_end",
    "entry_stack_end:",
    ".popsection",

    offset = const KERNEL_OFFSET,
    direct_index = const DIRECT_MAP >> 39 & 511,
    page = const PRESENT_WRITABLE | LARGE_PAGE,
    table = const PRESENT_WRITABLE,
    stack = const STACK_BYTES,
    start = sym crate::start,
    start_xen_pv = sym crate::start_xen_pv,
);
