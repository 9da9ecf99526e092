//! What is on the stack of a kernel that was entered: the registers of whoever was interrupted.

use pvops_core::InterruptFrame;

/// As [`trap_entry`](crate::trap_entry) leaves it. For a program it is at the end of its task's stack.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) registers: Registers,
    /// The vector, or [`SYSCALL`].
    pub(crate) vector: u64,
    pub(crate) error: u64,
    pub(crate) interrupt: InterruptFrame,
}

/// Stands in place of a vector.
pub(crate) const SYSCALL: u64 = 0x100;

/// The general registers, in the order in which they are popped.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rbp: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rdx: u64,
    pub(crate) rcx: u64,
    pub(crate) rbx: u64,
    pub(crate) rax: u64,
}

// The stack stays aligned to 16 bytes.
const _: () = assert!(size_of::<Frame>() == 22 * 8);

impl Frame {
    /// Whether a program was interrupted.
    pub(crate) fn is_user(&self) -> bool {
        self.interrupt.cs & 3 != 0
    }
}
