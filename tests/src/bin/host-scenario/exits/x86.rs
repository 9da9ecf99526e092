//! Frames of 32-bit code: of three words, as they lead to the ring that they are in.

use std::arch::naked_asm;

use pvops_core::op::cpu::interrupt_return;
use pvops_core::{InterruptFrame, asm_op, asm_site};

/// Pushes a frame that leads to the next label 2.
macro_rules! push_frame {
    () => {
        "pushfd
         mov eax, cs
         push eax
         lea eax, [2f]
         push eax"
    };
}

/// Returns `value` by way of a frame on the stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn exit_and_return(value: usize) -> usize {
    naked_asm!(
        "mov ecx, [esp + 4]",
        push_frame!(),
        asm_site!("interrupt_return"),
        "ud2",
        "2: mov eax, ecx",
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
        "push ebx",
        // `exit` is a function that never restores it.
        "push ebp",
        "mov ebx, [esp + 12]",
        "mov edx, [esp + 16]",
        push_frame!(),
        "mov eax, esp",
        "push eax",
        "call edx",
        "2: mov eax, ebx",
        "pop ebp",
        "pop ebx",
        "ret",
    )
}

/// IRET, for sites that call it.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn return_from_call() {
    naked_asm!("add esp, 4", "iretd")
}

/// IRET, for sites that jump to it.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn return_from_jump() {
    naked_asm!("iretd")
}
