//! From one stack to another.

use core::arch::naked_asm;

use super::trap_entry;

/// What [`switch_stacks`] leaves on the stack.
#[repr(C)]
pub(crate) struct Context {
    callee_saved: [usize; 4],
    return_address: usize,
}

impl Context {
    /// Of a task that has not run: it begins with the [`Frame`](crate::frame::Frame) above.
    pub(crate) fn of_task_start() -> Self {
        Context {
            callee_saved: [0; 4],
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
        "mov eax, [esp + 4]",
        "mov edx, [esp + 8]",
        "push ebx",
        "push ebp",
        "push esi",
        "push edi",
        "mov [eax], esp",
        "mov esp, edx",
        "pop edi",
        "pop esi",
        "pop ebp",
        "pop ebx",
        "ret",
    )
}
