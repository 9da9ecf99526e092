//! From one stack to another.

use core::arch::naked_asm;

use super::trap_entry;

/// What [`switch_stacks`] leaves on the stack.
#[repr(C)]
pub(crate) struct Context {
    callee_saved: [usize; 6],
    return_address: usize,
}

impl Context {
    /// Of a task that has not run: it begins with the [`Frame`](crate::frame::Frame) above.
    pub(crate) fn of_task_start() -> Self {
        Context {
            callee_saved: [0; 6],
            return_address: trap_entry::task_start(),
        }
    }
}

/// Goes on where the stack pointer `to` was saved, and saves this one at `from`. Comes back when
/// somebody does the same with what it has saved.
///
/// # Safety
///
/// `to` comes from here or from [`Context::of_task_start`], and nobody else goes on there.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch_stacks(from: *mut usize, to: usize) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}
