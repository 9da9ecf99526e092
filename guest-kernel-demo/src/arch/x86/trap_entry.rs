//! Where interrupts, exceptions and system calls enter the kernel, and the ways back.
//!
//! All build a [`Frame`]. The segments are the kernel's while the kernel runs. System calls come by
//! INT 0x80, and where the CPU has it by SYSENTER, which keeps nothing: the program has its next address
//! in edx and its stack pointer in ecx, as SYSEXIT wants them.

use core::arch::global_asm;
use core::mem::offset_of;

use pvops_core::op::cpu::{interrupt_return, sysenter_return};
use pvops_core::{InterruptFrame, asm_op, asm_site, cpu};

use super::frame::{Frame, PUSHED, SYSCALL};
use super::gdt::{ESP0_OFFSET, KERNEL_CODE, PER_CPU, USER_CODE, USER_DATA, entry_stack};
use crate::{per_cpu, scheduler, syscall, trap};

/// The vector of system calls.
pub(super) const SYSTEM_CALL: usize = 0x80;

/// Where the interrupt of a vector enters.
pub(crate) fn stub(vector: usize) -> usize {
    const DEBUG: usize = 1;
    const STUB_BYTES: usize = 16;
    unsafe extern "C" {
        safe static trap_stubs: [u8; trap::VECTORS * STUB_BYTES];
        safe static debug_stub: u8;
        safe static system_call_stub: u8;
    }
    match vector {
        DEBUG => (&raw const debug_stub).addr(),
        SYSTEM_CALL => (&raw const system_call_stub).addr(),
        _ => trap_stubs.as_ptr().addr() + vector * STUB_BYTES,
    }
}

/// Whether the CPU has SYSENTER.
pub(crate) fn has_sysenter() -> bool {
    const EDX_SEP: u32 = 1 << 11;
    cpu::cpuid(1, 0).edx & EDX_SEP != 0
}

/// Lets programs make system calls on this CPU.
///
/// # Safety
///
/// Once on each CPU, interrupts off, after [`per_cpu::load`].
pub(crate) unsafe fn enable_syscalls() {
    /// Intel SDM volume 4, table 2-2.
    const SYSENTER_CS: u32 = 0x174;
    const SYSENTER_ESP: u32 = 0x175;
    const SYSENTER_EIP: u32 = 0x176;
    unsafe extern "C" {
        safe static sysenter_entry: u8;
    }
    if has_sysenter() {
        let stack = entry_stack(per_cpu::index());
        // SAFETY: the CPU has the registers, the segments are in the order that they imply, and the
        // entry is below.
        unsafe {
            cpu::write_msr(SYSENTER_CS, KERNEL_CODE.into());
            cpu::write_msr(SYSENTER_ESP, stack as u64);
            cpu::write_msr(SYSENTER_EIP, (&raw const sysenter_entry).addr() as u64);
        }
    }
}

/// Where a task begins: with its [`Frame`] on the stack, in the middle of a
/// [switch](crate::scheduler).
pub(crate) fn task_start() -> usize {
    unsafe extern "C" {
        safe static task_start: u8;
    }
    (&raw const task_start).addr()
}

/// Where a thread's frame leads: calls the function in ecx with arguments from eax and edx.
pub(super) fn thread_start() -> usize {
    unsafe extern "C" {
        safe static thread_start: u8;
    }
    (&raw const thread_start).addr()
}

global_asm!(
    ".pushsection .text.trap, \"ax\", @progbits",
    // With the vector and an error code pushed. Leaves the frame's address in ebx, which functions keep,
    // and as argument on a stack that is aligned to 16 bytes.
    ".macro enter_kernel",
    "cld",
    "pushl %ds",
    "pushl %es",
    "pushl %fs",
    "pushl %gs",
    "pushal",
    // The kernel's stack segment is its data segment.
    "movl %ss, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl ${per_cpu}, %eax",
    "movl %eax, %fs",
    "movl %esp, %ebx",
    "andl $-16, %esp",
    "subl $12, %esp",
    "pushl %ebx",
    ".endm",
    // The vector is what remains on the stack.
    ".macro leave_kernel",
    "movl %ebx, %esp",
    "popal",
    "popl %gs",
    "popl %fs",
    "popl %es",
    "popl %ds",
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
    "pushl $0",
    ".endif",
    "pushl $trap_vector",
    "jmp trap_common",
    ".set trap_vector, trap_vector + 1",
    ".endr",
    ".size trap_stubs, . - trap_stubs",
    ".type trap_common, @function",
    "trap_common:",
    "enter_kernel",
    "call {trap}",
    "trap_return:",
    "leave_kernel",
    "cmpl ${pushed}, (%esp)",
    "je 2f",
    "addl $8, %esp",
    asm_site!("interrupt_return"),
    "2: addl $4, %esp",
    asm_site!("interrupt_return"),
    ".size trap_common, . - trap_common",
    ".global task_start",
    ".type task_start, @function",
    "task_start:",
    "movl %esp, %ebx",
    "andl $-16, %esp",
    "call {switched}",
    "jmp trap_return",
    ".size task_start, . - task_start",
    ".global thread_start",
    ".type thread_start, @function",
    "thread_start:",
    "andl $-16, %esp",
    "subl $8, %esp",
    "pushl %edx",
    "pushl %eax",
    "call *%ecx",
    "ud2",
    ".size thread_start, . - thread_start",
    ".global system_call_stub",
    ".type system_call_stub, @function",
    "system_call_stub:",
    "pushl $0",
    "pushl ${syscall}",
    "enter_kernel",
    "call {handle}",
    "jmp trap_return",
    ".size system_call_stub, . - system_call_stub",
    // Unlike INT, SYSENTER does not clear the trap flag: a program that steps gets the trap here.
    ".global debug_stub",
    ".type debug_stub, @function",
    "debug_stub:",
    "cmpl $sysenter_entry, (%esp)",
    "jne trap_stubs + 16",
    "andl $~{trap_flag}, 8(%esp)",
    asm_site!("interrupt_return"),
    ".size debug_stub, . - debug_stub",
    ".global sysenter_entry",
    ".type sysenter_entry, @function",
    "sysenter_entry:",
    "movl {esp0}(%esp), %esp",
    "pushl ${user_data}",
    "pushl %ecx",
    "pushl ${flags}",
    "pushl ${user_code}",
    "pushl %edx",
    "pushl $0",
    "pushl ${syscall}",
    "enter_kernel",
    "call {handle}",
    "leave_kernel",
    "addl $8, %esp",
    // What the frame says now.
    "movl {eip}(%esp), %edx",
    "movl {user_esp}(%esp), %ecx",
    asm_site!("sysenter_return"),
    ".size sysenter_entry, . - sysenter_entry",
    ".popsection",
    per_cpu = const PER_CPU,
    esp0 = const ESP0_OFFSET,
    eip = const offset_of!(InterruptFrame, eip),
    user_esp = const offset_of!(InterruptFrame, esp),
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    // Interrupts on, and the bit that is always set.
    flags = const 1 << 9 | 1 << 1,
    trap_flag = const 1 << 8,
    syscall = const SYSCALL,
    pushed = const PUSHED,
    trap = sym trap::trap,
    handle = sym syscall::handle,
    switched = sym scheduler::switched,
    interrupt_return = const asm_op::<interrupt_return>(),
    sysenter_return = const asm_op::<sysenter_return>(),
    options(att_syntax),
);

// What `leave_kernel` leaves.
const _: () = assert!(offset_of!(Frame, interrupt) == offset_of!(Frame, vector) + 8);
