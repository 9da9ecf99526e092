//! What is on the stack of a kernel that was entered: the registers of whoever was interrupted.

use pvops_core::InterruptFrame;

use super::gdt::{KERNEL_CODE, KERNEL_DATA, PER_CPU, PROGRAM, USER_CODE, USER_DATA};
use super::trap_entry;

/// As [`trap_entry`] leaves it. For a program it is at the end of its task's stack. If the kernel was
/// interrupted, the stack pointer and its segment are not there: in their place is the stack of the
/// interrupted.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Frame {
    registers: Registers,
    gs: u32,
    fs: u32,
    es: u32,
    ds: u32,
    /// The vector, [`SYSCALL`] or [`PUSHED`].
    pub(crate) vector: usize,
    pub(crate) error: usize,
    pub(super) interrupt: InterruptFrame,
}

/// Stands in place of a vector.
pub(super) const SYSCALL: usize = 0x100;
/// Stands in place of a vector: a word was [pushed](Frame::push), and there is no error code.
pub(super) const PUSHED: usize = 0x101;

/// The general registers, in the order in which POPAD pops them.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Registers {
    edi: u32,
    esi: u32,
    ebp: u32,
    /// Left alone by POPAD.
    esp: u32,
    ebx: u32,
    edx: u32,
    ecx: u32,
    eax: u32,
}

/// Interrupts on, and the bit that is always set.
const FLAGS: u32 = 1 << 9 | 1 << 1;

impl Frame {
    /// Begins a function of the C ABI with interrupts on; `stack` is the end of its stack.
    pub(crate) fn of_thread(function: usize, arguments: [usize; 2], _stack: usize) -> Self {
        Frame {
            // As `thread_start` wants them. The frame itself is at the end of the stack.
            registers: Registers {
                eax: arguments[0] as u32,
                edx: arguments[1] as u32,
                ecx: function as u32,
                ..Registers::default()
            },
            fs: PER_CPU.into(),
            es: KERNEL_DATA.into(),
            ds: KERNEL_DATA.into(),
            interrupt: InterruptFrame {
                eip: trap_entry::thread_start() as u32,
                cs: KERNEL_CODE.into(),
                flags: FLAGS,
                ..InterruptFrame::default()
            },
            ..Frame::default()
        }
    }

    /// Begins a program, with its argument in edi.
    pub(crate) fn of_program(entry: usize, stack: usize, argument: usize) -> Self {
        Frame {
            registers: Registers {
                edi: argument as u32,
                ..Registers::default()
            },
            gs: PROGRAM.into(),
            fs: 0,
            es: USER_DATA.into(),
            ds: USER_DATA.into(),
            interrupt: InterruptFrame {
                eip: entry as u32,
                cs: USER_CODE.into(),
                flags: FLAGS,
                esp: stack as u32,
                ss: USER_DATA.into(),
            },
            ..Frame::default()
        }
    }

    /// Whether a program was interrupted.
    pub(crate) fn is_user(&self) -> bool {
        self.vector != PUSHED && self.interrupt.cs & 3 != 0
    }

    /// Where what was interrupted goes on.
    pub(crate) fn instruction_pointer(&self) -> usize {
        self.interrupt.eip as usize
    }

    pub(crate) fn set_instruction_pointer(&mut self, address: usize) {
        self.interrupt.eip = address as u32;
    }

    /// The stack pointer of the interrupted.
    pub(crate) fn stack_pointer(&self) -> usize {
        match self.is_user() {
            true => self.interrupt.esp as usize,
            false => (&raw const self.interrupt.esp).addr(),
        }
    }

    /// The flags of the interrupted.
    pub(crate) fn flags(&self) -> usize {
        self.interrupt.flags as usize
    }

    /// Pushes a word onto the stack of the interrupted. What the CPU has put there moves down by a word,
    /// to where the error code is; nobody uses the frame afterwards but the way back.
    ///
    /// # Safety
    ///
    /// The kernel was interrupted, by a breakpoint.
    pub(crate) unsafe fn push(&mut self, word: usize) {
        let interrupt = &mut self.interrupt;
        self.error = interrupt.eip as usize;
        interrupt.eip = interrupt.cs;
        interrupt.cs = interrupt.flags;
        interrupt.flags = word as u32;
        self.vector = PUSHED;
    }

    /// The number of a system call: eax.
    pub(crate) fn system_call(&self) -> u64 {
        self.registers.eax.into()
    }

    /// The argument of a system call: edi.
    pub(crate) fn argument(&self) -> u64 {
        self.registers.edi.into()
    }

    /// Gives a system call its result: eax.
    pub(crate) fn set_result(&mut self, result: u64) {
        self.registers.eax = result as u32;
    }
}
