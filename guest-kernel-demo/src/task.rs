//! One task: a thread of the kernel's, or a program in an address space of its own.

use pvops_backend_kvm::async_page_fault::Token;

use crate::arch::Context;
use crate::frame::Frame;

/// A task, or the room for one. The stack stays when the task has gone.
pub(crate) struct Task {
    pub(crate) state: State,
    pub(crate) parent: Parent,
    /// End of its stack in the kernel; 0 if there never was one.
    pub(crate) stack: usize,
    /// Where on that stack it goes on, while it does not run.
    pub(crate) stack_pointer: usize,
    /// Physical address of its page tables; `None` for the kernel's.
    pub(crate) root: Option<u64>,
    /// How it ended.
    pub(crate) code: u64,
    /// How often its time was over.
    pub(crate) turns: u64,
    /// How often others ran for that.
    pub(crate) preemptions: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// There is no task.
    Free,
    /// Runs, or waits for a CPU.
    Ready,
    /// Waits for a child to end.
    Waiting,
    /// Waits for the host to fetch a page.
    WaitingForPage(Token),
    /// Has ended, and nobody has asked how.
    Ended,
}

/// Who asks how a task has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parent {
    /// The kernel.
    Kernel,
    /// A program: a task by its number.
    Task(usize),
    /// Nobody any more.
    Nobody,
}

impl Task {
    pub(crate) const FREE: Task = Task {
        state: State::Free,
        parent: Parent::Nobody,
        stack: 0,
        stack_pointer: 0,
        root: None,
        code: 0,
        turns: 0,
        preemptions: 0,
    };

    /// Makes this, which is free and has a stack, a new task that begins with the registers in
    /// `frame`.
    pub(crate) fn begin(&mut self, parent: Parent, frame: Frame, root: Option<u64>) {
        let frame_at = self.stack - size_of::<Frame>();
        let context_at = frame_at - size_of::<Context>();
        // SAFETY: the stack is the task's, and nobody is on it.
        unsafe {
            (frame_at as *mut Frame).write(frame);
            (context_at as *mut Context).write(Context::of_task_start());
        }
        *self = Task {
            state: State::Ready,
            parent,
            stack: self.stack,
            stack_pointer: context_at,
            root,
            code: 0,
            turns: 0,
            preemptions: 0,
        };
    }
}
