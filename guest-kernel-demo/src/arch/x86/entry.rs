//! The first instructions: from the loader's world to Rust at 3 GiB.
//!
//! PVH (Xen public/arch-x86/hvm/start_info.h), Multiboot (Specification 0.6.96, section 3.2) and Multiboot2
//! (3.3): flat 32-bit segments, paging off, ebx = physical address of the boot information; with the latter
//! two, eax has a magic number. They enter at physical addresses, which this code is linked at. The
//! segments of some loaders end at 256 MiB, so ours come first. The tables here map the first 3 GiB at
//! their own addresses, and the first GiB at [`KERNEL_OFFSET`], too. They serve until
//! [`paging`](crate::paging) has made proper ones, and then for [double faults](super::gdt).

use core::arch::global_asm;

use super::layout::KERNEL_OFFSET;
use super::start;

/// The time-stamp counter at the entry.
pub(crate) fn start_tsc() -> u64 {
    unsafe extern "C" {
        safe static entry_tsc: u64;
    }
    entry_tsc
}

/// Size of the boot stack, which stays the stack of the first CPU.
const STACK_BYTES: usize = 64 * 1024;

const PRESENT: u32 = 1 << 0;
const WRITABLE: u32 = 1 << 1;
const LARGE_PAGE: u32 = 1 << 7;

global_asm!(
    ".pushsection .entry, \"ax\", @progbits",
    ".global pvh_entry",
    ".type pvh_entry, @function",
    "pvh_entry:",
    // No magic number.
    "xor eax, eax",
    ".global multiboot_entry, multiboot2_entry",
    "multiboot_entry:",
    "multiboot2_entry:",
    "cld",
    "cli",
    "lgdt [entry_gdt_pointer - {offset}]",
    "mov ecx, 0x10",
    "mov ds, ecx",
    "mov es, ecx",
    "mov ss, ecx",
    "mov esp, offset entry_stack_end - {offset}",
    // Until Rust has them: esi has the magic number, ebx the information.
    "mov esi, eax",
    "rdtsc",
    "mov [entry_tsc - {offset}], eax",
    "mov [entry_tsc - {offset} + 4], edx",

    // 2 MiB pages in four page directories in a row: 3 GiB, and the first GiB again.
    "mov ebp, offset entry_pd - {offset}",
    "mov eax, {page}",
    "2: mov [ebp], eax",
    "add ebp, 8",
    "add eax, 0x200000",
    "cmp eax, {offset}",
    "jb 2b",
    "mov eax, {page}",
    "mov ecx, 512",
    "3: mov [ebp], eax",
    "add ebp, 8",
    "add eax, 0x200000",
    "dec ecx",
    "jnz 3b",
    "mov eax, offset entry_pd - {offset} + {present}",
    "mov ebp, offset entry_pdpt - {offset}",
    "mov ecx, 4",
    "4: mov [ebp], eax",
    "add ebp, 8",
    "add eax, 0x1000",
    "dec ecx",
    "jnz 4b",

    // CR4: PAE and PGE. EFER: no-execute, if the CPU has it. CR0: paging, write protection, and an FPU
    // that nobody uses.
    "mov eax, 0xa0",
    "mov cr4, eax",
    "mov eax, offset entry_pdpt - {offset}",
    "mov cr3, eax",
    "mov ebp, ebx",
    "mov eax, 0x80000001",
    "cpuid",
    "mov ebx, ebp",
    "bt edx, 20",
    "jnc 5f",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x800",
    "wrmsr",
    "5: mov eax, 0x80010033",
    "mov cr0, eax",
    "push 0x08",
    "mov eax, offset entry_paged",
    "push eax",
    "retf",

    "entry_paged:",
    "mov esp, offset entry_stack_end",
    "xor ebp, ebp",
    // Two arguments, aligned to 16 bytes, and a return address of 0.
    "sub esp, 8",
    "push esi",
    "push ebx",
    "push 0",
    "mov eax, offset {start}",
    "jmp eax",
    ".size pvh_entry, . - pvh_entry",
    ".popsection",

    ".pushsection .rodata.entry, \"a\", @progbits",
    ".balign 8",
    "entry_gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff",
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
    "entry_pdpt: .skip 4096",
    "entry_pd: .skip 4 * 4096",
    // Not mapped once paging has made its tables: a stack that runs over faults.
    ".global entry_stack_guard",
    "entry_stack_guard: .skip 4096",
    ".skip {stack}",
    ".global entry_stack_end",
    "entry_stack_end:",
    ".popsection",

    offset = const KERNEL_OFFSET,
    page = const PRESENT | WRITABLE | LARGE_PAGE,
    present = const PRESENT,
    stack = const STACK_BYTES,
    start = sym start::loaded,
);
