//! Exit ops and sites in assembly: IRET leads from user mode to user mode as well.

use std::arch::naked_asm;

use pvops_core::op::cpu::interrupt_return;
use pvops_core::{InterruptFrame, asm_op, asm_site, cpu};
use pvops_tests::check::Outcome;

/// Goes where a frame says, once from assembly and once from Rust, with the registers as they are.
pub(crate) fn exits() -> Outcome {
    const VALUE: usize = 0x1234_5678;
    // SAFETY: both come back.
    let (by_assembly, by_rust) = unsafe { (exit_and_return(VALUE), call_exit(VALUE, exit)) };
    match (by_assembly, by_rust) {
        (VALUE, VALUE) => Ok(()),
        other => Err(format!("rdi of {VALUE:#x} became {other:#x?}")),
    }
}

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
unsafe extern "C" fn exit_and_return(value: usize) -> usize {
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
unsafe extern "C" fn call_exit(
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

unsafe extern "C" fn exit(frame: *const InterruptFrame) -> ! {
    // SAFETY: the frame leads to `call_exit`, which needs nothing of this function's stack.
    unsafe { cpu::interrupt_return(frame) }
}
