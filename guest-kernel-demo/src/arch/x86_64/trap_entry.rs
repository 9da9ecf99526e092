//! Where interrupts, exceptions and system calls enter the kernel, and the ways back.
//!
//! All build a [`Frame`]. The base of GS is the kernel's while the kernel runs.

use core::arch::global_asm;
use core::mem::offset_of;

use pvops_core::op::cpu::{interrupt_return, swapgs, syscall_return};
use pvops_core::{InterruptFrame, SyscallEntry, asm_op, asm_site, cpu};

use super::frame::{Frame, SYSCALL};
use super::gdt::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use crate::per_cpu::PerCpu;
use crate::{scheduler, syscall, trap};

/// Where the interrupt of a vector enters.
pub(crate) fn stub(vector: usize) -> usize {
    const BREAKPOINT: usize = 3;
    const STUB_BYTES: usize = 16;
    unsafe extern "C" {
        safe static trap_stubs: [u8; trap::VECTORS * STUB_BYTES];
        safe static breakpoint_stub: u8;
    }
    if vector == BREAKPOINT {
        return (&raw const breakpoint_stub).addr();
    }
    trap_stubs.as_ptr().addr() + vector * STUB_BYTES
}

/// Lets programs make system calls on this CPU.
///
/// # Safety
///
/// Once on each CPU, interrupts off, after [`per_cpu::load`](crate::per_cpu::load).
pub(crate) unsafe fn enable_syscalls() {
    unsafe extern "C" {
        safe static syscall_direct: u8;
        safe static syscall_framed: u8;
    }
    let entry = SyscallEntry {
        direct: (&raw const syscall_direct).addr(),
        framed: (&raw const syscall_framed).addr(),
        kernel_code: KERNEL_CODE,
        user_base: USER_DATA - 8,
    };
    const { assert!(KERNEL_DATA == KERNEL_CODE + 8 && USER_CODE == USER_DATA + 8) };
    // SAFETY: both entries are below.
    unsafe { cpu::setup_syscall(&raw const entry) };
}

/// Where a task begins: with its [`Frame`] on the stack, in the middle of a
/// [switch](crate::scheduler).
pub(crate) fn task_start() -> usize {
    unsafe extern "C" {
        safe static task_start: u8;
    }
    (&raw const task_start).addr()
}

global_asm!(
    ".pushsection .text.trap, \"ax\", @progbits",
    ".macro push_registers",
    ".irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15",
    "pushq %\\register",
    ".endr",
    ".endm",
    ".macro pop_registers_but_rax",
    ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx",
    "popq %\\register",
    ".endr",
    ".endm",
    ".balign 16",
    ".global trap_stubs",
    ".type trap_stubs, @function",
    "trap_stubs:",
    ".set trap_vector, 0",
    ".rept 256",
    ".balign 16",
    // These push an error code themselves: Intel SDM volume 3, table 7-1.
    ".if (trap_vector != 8) && ((trap_vector < 10) || (trap_vector > 14)) && (trap_vector != 17) \
      && (trap_vector != 21)",
    "pushq $0",
    ".endif",
    "pushq $trap_vector",
    "jmp trap_common",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    ".size trap_stubs, . - trap_stubs",
    // Copies the CPU's frame down by 48 bytes, so that there is room to push an address onto the
    // interrupted stack; a multiple of 16, as the CPU has aligned the stack.
    ".global breakpoint_stub",
    ".type breakpoint_stub, @function",
    "breakpoint_stub:",
    "pushq $0",
    ".rept 5",
    "pushq 40(%rsp)",
    ".endr",
    "pushq $0",
    "pushq $3",
    "jmp trap_common",
    ".size breakpoint_stub, . - breakpoint_stub",
    ".type trap_common, @function",
    "trap_common:",
    "cld",
    "push_registers",
    "testb $3, {cs}(%rsp)",
    "jz 2f",
    asm_site!("swapgs"),
    "2: movq %rsp, %rdi",
    // The CPU aligned the stack before it pushed five words; with ours that makes 22.
    "call {trap}",
    "trap_return:",
    "testb $3, {cs}(%rsp)",
    "jz 3f",
    asm_site!("swapgs"),
    "3: pop_registers_but_rax",
    "popq %rax",
    "addq $16, %rsp",
    asm_site!("interrupt_return"),
    ".size trap_common, . - trap_common",
    ".global task_start",
    ".type task_start, @function",
    "task_start:",
    "call {switched}",
    "jmp trap_return",
    ".size task_start, . - task_start",
    // Only the instruction leads here, so the exchange of GS is the instruction too.
    ".global syscall_direct",
    ".type syscall_direct, @function",
    "syscall_direct:",
    "swapgs",
    "movq %rsp, %gs:{user_stack}",
    "movq %gs:{kernel_stack}, %rsp",
    "pushq ${user_data}",
    "pushq %gs:{user_stack}",
    "pushq %r11",
    "pushq ${user_code}",
    "pushq %rcx",
    ".size syscall_direct, . - syscall_direct",
    ".global syscall_framed",
    ".type syscall_framed, @function",
    "syscall_framed:",
    "pushq $0",
    "pushq ${syscall}",
    "push_registers",
    "movq %rsp, %rdi",
    "call {handle}",
    "pop_registers_but_rax",
    asm_site!("swapgs"),
    "popq %rax",
    "addq $16, %rsp",
    asm_site!("syscall_return"),
    ".size syscall_framed, . - syscall_framed",
    ".popsection",
    cs = const offset_of!(Frame, interrupt) + offset_of!(InterruptFrame, cs),
    user_stack = const offset_of!(PerCpu, user_stack),
    kernel_stack = const offset_of!(PerCpu, kernel_stack),
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    syscall = const SYSCALL,
    trap = sym trap::trap,
    handle = sym syscall::handle,
    switched = sym scheduler::switched,
    swapgs = const asm_op::<swapgs>(),
    interrupt_return = const asm_op::<interrupt_return>(),
    syscall_return = const asm_op::<syscall_return>(),
    options(att_syntax),
);
