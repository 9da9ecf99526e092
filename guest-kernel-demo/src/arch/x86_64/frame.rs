//! What is on the stack of a kernel that was entered: the registers of whoever was interrupted.

use pvops_core::InterruptFrame;

use super::gdt::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};

/// As [`trap_entry`](super::trap_entry) leaves it. For a program it is at the end of its task's stack.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Frame {
    registers: Registers,
    /// The vector, or [`SYSCALL`].
    pub(crate) vector: usize,
    pub(crate) error: usize,
    pub(super) interrupt: InterruptFrame,
}

/// Stands in place of a vector.
pub(super) const SYSCALL: usize = 0x100;

/// The general registers, in the order in which they are popped.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
}

// The stack stays aligned to 16 bytes.
const _: () = assert!(size_of::<Frame>() == 22 * 8);

/// Interrupts on, and the bit that is always set.
const FLAGS: u64 = 1 << 9 | 1 << 1;

impl Frame {
    /// Begins a function of the C ABI with interrupts on; `stack` is the end of its stack.
    pub(crate) fn of_thread(function: usize, arguments: [usize; 2], stack: usize) -> Self {
        Frame {
            registers: Registers {
                rdi: arguments[0] as u64,
                rsi: arguments[1] as u64,
                ..Registers::default()
            },
            interrupt: InterruptFrame {
                rip: function as u64,
                cs: KERNEL_CODE.into(),
                flags: FLAGS,
                // As after a call.
                rsp: stack as u64 - 8,
                ss: KERNEL_DATA.into(),
            },
            ..Frame::default()
        }
    }

    /// Begins a program, with its argument in rdi.
    pub(crate) fn of_program(entry: usize, stack: usize, argument: usize) -> Self {
        Frame {
            registers: Registers {
                rdi: argument as u64,
                ..Registers::default()
            },
            interrupt: InterruptFrame {
                rip: entry as u64,
                cs: USER_CODE.into(),
                flags: FLAGS,
                rsp: stack as u64,
                ss: USER_DATA.into(),
            },
            ..Frame::default()
        }
    }

    /// Whether a program was interrupted.
    pub(crate) fn is_user(&self) -> bool {
        self.interrupt.cs & 3 != 0
    }

    /// Where what was interrupted goes on.
    pub(crate) fn instruction_pointer(&self) -> usize {
        self.interrupt.rip as usize
    }

    pub(crate) fn set_instruction_pointer(&mut self, address: usize) {
        self.interrupt.rip = address as u64;
    }

    /// The stack pointer of the interrupted.
    pub(crate) fn stack_pointer(&self) -> usize {
        self.interrupt.rsp as usize
    }

    /// The flags of the interrupted.
    pub(crate) fn flags(&self) -> usize {
        self.interrupt.flags as usize
    }

    /// Pushes a word onto the stack of the interrupted.
    ///
    /// # Safety
    ///
    /// The kernel was interrupted, by a breakpoint.
    pub(crate) unsafe fn push(&mut self, word: usize) {
        self.interrupt.rsp -= size_of::<usize>() as u64;
        // SAFETY: the stub of breakpoints has moved the frame away from there.
        unsafe { (self.interrupt.rsp as *mut usize).write(word) };
    }

    /// The number of a system call: rax.
    pub(crate) fn system_call(&self) -> u64 {
        self.registers.rax
    }

    /// The argument of a system call: rdi.
    pub(crate) fn argument(&self) -> u64 {
        self.registers.rdi
    }

    /// Gives a system call its result: rax.
    pub(crate) fn set_result(&mut self, result: u64) {
        self.registers.rax = result;
    }
}
