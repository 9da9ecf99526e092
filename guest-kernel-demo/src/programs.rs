//! The programs: a page of text that each gets a copy of. In assembly, because the compiler's code
//! may call what is in the kernel.

use core::arch::global_asm;
use core::slice;

use crate::address_space::{HEAP, TEXT};
use crate::layout::PAGE;
use crate::scheduler::{self, TaskId};
use crate::syscall::{EXIT, FORK, NOTHING, TURNS, WAIT, YIELD};

/// A program: where its label is in the kernel's image.
#[derive(Clone, Copy)]
pub(crate) struct Program(usize);

/// What a program ends with that has found something wrong.
pub(crate) const WRONG: u64 = u64::MAX;
/// What [`fork`]'s child and parent end with.
pub(crate) const FORKED: u64 = 9;

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident = $symbol:ident;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name() -> Program {
            unsafe extern "C" {
                safe static $symbol: u8;
            }
            Program((&raw const $symbol).addr())
        })*
    };
}

programs! {
    /// Counts in its memory until its time was over five times, and ends with its count. Its argument,
    /// which it keeps on its heap, is its name.
    count = program_count;
    /// Writes to as many pages as its argument says, forks, and both write again.
    fork = program_fork;
    /// Ends with what so many system calls cost, in ticks.
    syscalls = program_syscalls;
    /// The same, of system calls that yield.
    yields = program_yields;
    /// The same, of writes to new pages.
    faults = program_faults;
    /// Ends with what a fork costs, with so many pages.
    fork_cost = program_fork_cost;
    /// Does what it has no right to, of one kind or another.
    wild = program_wild;
}

/// Begins a program.
pub(crate) fn spawn(program: Program, argument: u64) -> Option<TaskId> {
    unsafe extern "C" {
        safe static programs_start: u8;
        safe static programs_end: u8;
    }
    let start = (&raw const programs_start).addr();
    // SAFETY: between the symbols are the programs.
    let text = unsafe {
        slice::from_raw_parts(
            &raw const programs_start,
            (&raw const programs_end).addr() - start,
        )
    };
    scheduler::spawn_program(text, TEXT + program.0 - start, argument)
}

global_asm!(
    ".macro system_call number",
    "mov eax, \\number",
    "syscall",
    ".endm",
    // Ticks into rax.
    ".macro ticks",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    ".endm",
    ".pushsection .rodata.programs, \"a\", @progbits",
    ".global programs_start, programs_end, program_count, program_fork, program_syscalls",
    ".global program_yields, program_faults, program_fork_cost, program_wild",
    "programs_start:",

    "program_count:",
    "mov r12, rdi",
    "mov ebx, {heap}",
    // FS begins there too.
    "mov fs:[0], r12",
    "mov r13d, 200000",
    "2: mov ecx, 2000",
    "3: inc qword ptr [rbx + 8]",
    "cmp [rbx], r12",
    "jne program_wrong",
    "cmp fs:[0], r12",
    "jne program_wrong",
    "dec ecx",
    "jnz 3b",
    "system_call {turns}",
    "cmp rax, 5",
    "jae 4f",
    "dec r13d",
    "jnz 2b",
    "jmp program_wrong",
    "4: mov rdi, [rbx + 8]",
    "jmp program_exit",

    "program_fork:",
    "mov r12, rdi",
    // There is no such system call.
    "system_call 12345",
    "cmp rax, -1",
    "jne program_wrong",
    "mov esi, 1000000",
    "call program_fill",
    "system_call {fork}",
    "test rax, rax",
    "js program_wrong",
    "mov r13, rax",
    "mov esi, 1000000",
    "call program_check",
    "lea esi, [r13d + 2000000]",
    "call program_fill",
    "system_call {yield_now}",
    "lea esi, [r13d + 2000000]",
    "call program_check",
    "test r13, r13",
    "jz 2f",
    "system_call {wait}",
    "cmp rax, {forked}",
    "jne program_wrong",
    "lea esi, [r13d + 2000000]",
    "call program_check",
    // There is no other child.
    "system_call {wait}",
    "cmp rax, -1",
    "jne program_wrong",
    "2: mov edi, {forked}",
    "jmp program_exit",

    "program_syscalls:",
    "mov ebx, {nothing}",
    "jmp 2f",
    "program_yields:",
    "mov ebx, {yield_now}",
    "2: mov r12, rdi",
    "ticks",
    "mov r13, rax",
    "3: mov eax, ebx",
    "syscall",
    "dec r12",
    "jnz 3b",
    "jmp program_exit_with_cost",

    "program_faults:",
    "mov r12, rdi",
    "ticks",
    "mov r13, rax",
    "xor esi, esi",
    "call program_fill",
    "jmp program_exit_with_cost",

    "program_fork_cost:",
    "mov r12, rdi",
    "xor esi, esi",
    "call program_fill",
    "ticks",
    "mov r13, rax",
    "system_call {fork}",
    "test rax, rax",
    "jz program_exit_with_cost",
    "js program_wrong",
    "ticks",
    "sub rax, r13",
    "mov r14, rax",
    "system_call {wait}",
    "mov rdi, r14",
    "jmp program_exit",

    "program_wild:",
    "dec rdi",
    "js 2f",
    "dec rdi",
    "js 3f",
    "dec rdi",
    "js 4f",
    "dec rdi",
    "js 5f",
    "jmp 6f",
    // Reads from the kernel.
    "2: mov rax, {kernel}",
    "mov rax, [rax]",
    "jmp program_wrong",
    // Writes to its text.
    "3: mov [rip + programs_start], rax",
    "jmp program_wrong",
    // Executes data.
    "4: mov eax, {heap}",
    "mov byte ptr [rax], 0xc3",
    "call rax",
    "jmp program_wrong",
    // An instruction that is the kernel's, and an address that is nobody's.
    "5: cli",
    "jmp program_wrong",
    "6: mov rax, {nobody}",
    "mov [rax], rax",
    "jmp program_wrong",

    // Writes to r12 pages the page's number plus rsi.
    "program_fill:",
    "mov ebx, {heap}",
    "mov ecx, 0",
    "2: lea rdx, [rcx + rsi]",
    "mov [rbx], rdx",
    "add rbx, {page}",
    "inc rcx",
    "cmp rcx, r12",
    "jne 2b",
    "ret",

    // Checks that `fill` did so.
    "program_check:",
    "mov ebx, {heap}",
    "mov ecx, 0",
    "2: lea rdx, [rcx + rsi]",
    "cmp [rbx], rdx",
    "jne program_wrong",
    "add rbx, {page}",
    "inc rcx",
    "cmp rcx, r12",
    "jne 2b",
    "ret",

    "program_exit_with_cost:",
    "ticks",
    "sub rax, r13",
    "mov rdi, rax",
    "program_exit: system_call {exit}",
    "program_wrong: mov rdi, -1",
    "jmp program_exit",
    "programs_end:",
    ".popsection",
    heap = const HEAP.start,
    page = const PAGE,
    kernel = const 0xffff_ffff_8020_0000_u64 as i64,
    nobody = const 0x1234_5678_9abc_def0_u64,
    forked = const FORKED,
    exit = const EXIT,
    nothing = const NOTHING,
    yield_now = const YIELD,
    fork = const FORK,
    wait = const WAIT,
    turns = const TURNS,
);
