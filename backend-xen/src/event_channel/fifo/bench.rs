//! The queues on memory of its own, for benchmarks.

use core::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// One frame of words, and the queues of one CPU.
#[allow(missing_debug_implementations, reason = "for measurements only")]
pub struct Fifo {
    words: Words,
    block: ControlBlock,
    queues: Queues,
}

impl Fifo {
    /// Nothing in the queues, and no port masked.
    pub fn new(page: &'static Page) -> Self {
        let words = Words::new();
        let added = words.add(page, || Ok(()));
        debug_assert!(added.is_ok());
        page.iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        Self {
            words,
            block: ControlBlock {
                ready: AtomicU32::new(0),
                reserved: AtomicU32::new(0),
                head: [const { AtomicU32::new(0) }; PRIORITIES],
            },
            queues: Queues::new(),
        }
    }

    /// Puts ports, by their numbers from `first` on, into one queue that is empty, as Xen does.
    pub fn send(&self, first: u32, count: u32) {
        const PRIORITY: usize = 7;
        for port in (first..first + count).rev() {
            let link = match port + 1 {
                end if end == first + count => 0,
                next => next,
            };
            if let Some(word) = self.words.get(Port(port)) {
                word.store(PENDING | LINKED | link, Ordering::Relaxed);
            }
        }
        self.block.head[PRIORITY].store(first, Ordering::Relaxed);
        self.block.ready.fetch_or(1 << PRIORITY, Ordering::Release);
    }

    /// Takes all events, as an upcall does.
    pub fn take(&self, mut visit: impl FnMut(Port)) {
        let take = |port| {
            self.words.clear_pending(port);
            visit(port);
        };
        let limit = WORDS_PER_PAGE as u32;
        let _left = self
            .queues
            .consume(&self.words, &self.block, limit, take, || ());
    }
}
