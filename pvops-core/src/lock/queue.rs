//! The queue lock: who holds it, who waits, and who must be woken.
//!
//! One word holds the *state* (free, held, held and a sleeper is named) in its low byte, and above
//! it the *tail*: the last waiter's [`Node`]. A lock that is free and has no queue is all zeros, and
//! only then does `try_lock` succeed, so nobody overtakes a waiter. A waiter makes its node the
//! tail, links itself behind the one before, and waits until that one makes it the *head* of the
//! queue. Only the head waits for the state to become free, and only the head takes it then. Having
//! taken it, and so become the owner, it makes the next in the queue the head. Releasing it is a
//! store of the low byte; natively that is all. Where waiters sleep it counts the low byte down: from
//! held to free, or from held with a sleeper to held, and then the sleeper's turn comes.
//!
//! # No wake-up is lost
//!
//! A waiter sleeps in one of two places, and only with the op [`wait`](fn@crate::lock::wait), which
//! returns if its word is changed first and its CPU kicked afterwards. So for each place: whoever
//! changes the word kicks afterwards, or the sleeper does not begin to wait.
//!
//! *Behind another*, on its node's state, after it has changed that from `AWAKE` to `ASLEEP`. The
//! one before it changes `AWAKE` to `HEAD`. Both are read-modify-write operations on one word, so
//! one is first. If `HEAD` is, the waiter's change fails and it does not sleep. If `ASLEEP` is, the
//! one before it, now the owner, *names* the sleeper: it stores the sleeper's CPU in the queue and
//! changes the state from held to `HELD_NAMED`; only then it changes the word, to `NAMED_HEAD`. The
//! owner's own release, which is later, sees `HELD_NAMED` and kicks.
//!
//! *At the head*, on the queue's field `sleeper`, after the head was named, by the owner as above or
//! by itself. Naming itself is a change of the state from held, and releasing is a change of the
//! same word, so one is first. If the release is, naming fails, and the head looks again and finds
//! the lock free. If naming is, the release sees it, since counting down has left the
//! lock held: it takes the name out of `sleeper` (so changes the word), frees the lock and kicks. A
//! name is given once for each head, either by the owner before it is the head or by itself after it
//! has seen that the owner did not: so a name that the release has taken out is not put back, and
//! between its two steps nobody names a sleeper.
//!
//! A kick may come when its CPU no longer sleeps, or sleeps for another lock, in an interrupt
//! handler; then `wait` returns early, and the waiter looks and waits again.
//!
//! Every access to the lock by its releaser is before or in the one that frees it, so that the next
//! owner may destroy the lock; a node is not touched after the change that makes it the head.
//!
//! # No data race
//!
//! Taking the lock is an acquire, of the release that freed it: also when a waiter has become the
//! tail in between, since that is a read-modify-write operation.
//!
//! # Fairness
//!
//! Without a queue ([`Queue::lock_out_of_turn`]) there is none. With it, who became the tail first
//! takes the lock first. Becoming it takes one compare-exchange for each time that another CPU
//! changes the word in the same few instructions. All other loops on the word end after as many
//! turns as there are waiters.

use core::ptr;

use super::host::Host;
use super::node::Node;
use crate::atomic::{AtomicPtr, AtomicU32, Ordering, const_unless_loom, spin_loop};

/// State and queue of one lock: a part of [`RawQueueLock`](super::RawQueueLock), for the op
/// [`release`](fn@crate::lock::release).
#[derive(Debug)]
#[repr(C)]
pub struct Queue {
    /// The tail, with the state in the low byte. First, because the native release stores there.
    word: AtomicPtr<Node>,
    /// The CPU to kick, if the state says so; [`NOBODY`] once it is to be kicked.
    sleeper: AtomicU32,
}

// The states, in an order such that the release counts down.

const FREE: usize = 0;
const HELD: usize = 1;
/// Held, and the head of the queue is to be kicked.
const HELD_NAMED: usize = 2;

/// No CPU has this index.
const NOBODY: u32 = u32::MAX;

impl Queue {
    const_unless_loom! {
        pub(super) const fn new() -> Self {
            Queue {
                word: AtomicPtr::new(ptr::null_mut()),
                sleeper: AtomicU32::new(NOBODY),
            }
        }
    }

    /// Takes the lock if it is free and nobody waits for it.
    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        let held = ptr::without_provenance_mut(HELD);
        self.word
            .compare_exchange(ptr::null_mut(), held, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether somebody holds the lock or waits for it.
    pub(super) fn is_locked(&self) -> bool {
        !self.word.load(Ordering::Relaxed).is_null()
    }

    /// Takes the lock, on the CPU with this index, in turn.
    pub(super) fn lock<H: Host>(&self, host: &H, cpu: u32) {
        let node = Node::new(cpu);
        let Some(previous) = self.enqueue(&node) else {
            return;
        };
        let named = match previous.is_null() {
            true => false,
            // SAFETY: it was the tail.
            false => unsafe { node.wait_behind(previous, host) },
        };
        if self.take(&node, named, host) {
            node.make_next_head(|cpu| {
                self.name_sleeper(cpu);
            });
        }
    }

    /// Takes the lock as soon as it is seen to be free, whoever came first. All waiters of a lock do
    /// this, or none: the head of a queue might never find it free.
    pub(super) fn lock_out_of_turn(&self) {
        while self.is_locked() || !self.try_lock() {
            spin_loop();
        }
    }

    /// Makes of held free and of held with a sleeper held, and returns whether the lock is free now.
    /// All of a release, or its first part. Backends' thunks do this in one instruction.
    ///
    /// # Safety
    ///
    /// The lock must be held, by the caller.
    pub(super) unsafe fn count_down(&self) -> bool {
        let mut word = ptr::without_provenance_mut(HELD);
        loop {
            let state = state(word) - 1;
            match self.word.compare_exchange(
                word,
                with_state(tail(word), state),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return state == FREE,
                Err(now) => word = now,
            }
        }
    }

    /// Releases the lock to the head of the queue, which sleeps, and kicks it.
    ///
    /// # Safety
    ///
    /// The lock must be held, by the caller, and just have been counted down from held with a sleeper.
    pub(super) unsafe fn release_to_sleeper<H: Host>(&self, host: &H) {
        let sleeper = self.sleeper.load(Ordering::Relaxed);
        self.sleeper.store(NOBODY, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { self.count_down() };
        host.kick(sleeper);
    }

    /// Makes the node the tail and returns the tail before, null for none; or, if the lock is free
    /// after all, takes it and returns nothing.
    fn enqueue(&self, node: &Node) -> Option<*mut Node> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let new = match word.is_null() {
                true => ptr::without_provenance_mut(HELD),
                false => with_state(ptr::from_ref(node).cast_mut(), state(word)),
            };
            match self
                .word
                .compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if word.is_null() => return None,
                Ok(_) => return Some(tail(word)),
                Err(now) => word = now,
            }
        }
    }

    /// At the head of the queue, waits until the lock is free, and takes it. Returns whether somebody
    /// is behind.
    fn take<H: Host>(&self, node: &Node, mut named: bool, host: &H) -> bool {
        let mut looks = 0;
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if state(word) == FREE {
                let last = ptr::eq(tail(word), node);
                let new = match last {
                    true => ptr::without_provenance_mut(HELD),
                    false => with_state(tail(word), HELD),
                };
                // A release too: if naming this head has failed, `sleeper` holds its CPU all the same,
                // and the next head's must come after it.
                if self
                    .word
                    .compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
                {
                    return !last;
                }
            } else if looks < H::SPINS {
                looks += 1;
                spin_loop();
            } else {
                looks = 0;
                named = named || self.name_sleeper(node.cpu);
                if named {
                    host.wait(&self.sleeper, node.cpu);
                }
            }
        }
    }

    /// Has the release kick this CPU; `false` if the lock has been released already. Only for a head
    /// that is not named yet, and one that is about to be the head.
    fn name_sleeper(&self, cpu: u32) -> bool {
        self.sleeper.store(cpu, Ordering::Relaxed);
        let mut word = self.word.load(Ordering::Relaxed);
        while state(word) == HELD {
            let new = with_state(tail(word), HELD_NAMED);
            match self
                .word
                .compare_exchange(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

/// The low byte of the word, which nodes leave free.
const STATE: usize = align_of::<Node>() - 1;

fn state(word: *mut Node) -> usize {
    word.addr() & STATE
}

fn tail(word: *mut Node) -> *mut Node {
    word.map_addr(|address| address & !STATE)
}

fn with_state(tail: *mut Node, state: usize) -> *mut Node {
    tail.map_addr(|address| address | state)
}

const _: () = assert!(STATE == 0xff);
