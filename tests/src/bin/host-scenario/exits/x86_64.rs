//! Frames of 64-bit code.

use std::arch::naked_asm;

use pvops_core::op::cpu::interrupt_return;
use pvops_core::{InterruptFrame, asm_op, asm_site};

/// Pushes a frame that leads to the next label 2, with the stack as it is.
macro_rules! push_frame {
    () => {
        "mov rcx, rsp
         mov eax, ss
         push rax
         push rcx
         pushfq
         mov eax, cs
         push rax
         lea rax, [rip + 2f]
         push rax"
    };
}

/// Returns `value` by way of a frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn exit_and_return(value: usize) -> usize {
    naked_asm!(
        push_frame!(),
        asm_site!("interrupt_return"),
        "ud2",
        "2: mov rax, rdi",
        "ret",
        interrupt_return = const asm_op::<interrupt_return>(),
    )
}

/// Calls `exit` with a frame that leads to this function's end, which returns `value`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn call_exit(
    value: usize,
    exit: unsafe extern "C" fn(*const InterruptFrame) -> !,
) -> usize {
    naked_asm!(
        "push rbx",
        "mov rbx, rdi",
        push_frame!(),
        "mov rdi, rsp",
        "call rsi",
        "2: mov rax, rbx",
        "pop rbx",
        "ret",
    )
}

/// IRET, for sites that call it.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn return_from_call() {
    naked_asm!("add rsp, 8", "iretq")
}

/// IRET, for sites that jump to it.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn return_from_jump() {
    naked_asm!("iretq")
}
