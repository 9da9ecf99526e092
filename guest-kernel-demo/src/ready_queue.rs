//! Tasks that wait for a CPU, by their numbers.

use crate::scheduler::TASKS;

/// First in, first out; no task is in it twice.
pub(crate) struct ReadyQueue {
    tasks: [usize; TASKS],
    first: usize,
    length: usize,
}

impl ReadyQueue {
    pub(crate) const fn new() -> Self {
        ReadyQueue {
            tasks: [0; TASKS],
            first: 0,
            length: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn push(&mut self, id: usize) {
        self.tasks[(self.first + self.length) % TASKS] = id;
        self.length += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let id = self.tasks[self.first];
        self.first = (self.first + 1) % TASKS;
        self.length -= 1;
        Some(id)
    }
}
