//! A place in the queue: a variable on the waiter's stack, for as long as it waits.

use core::ptr;

use super::host::Host;
use crate::atomic::{AtomicPtr, AtomicU32, Ordering, const_unless_loom, spin_loop};

/// Aligned so that the low byte of its address is free for the lock's state.
#[repr(align(256))]
pub(super) struct Node {
    /// Who came after this waiter; set once, by that one.
    next: AtomicPtr<Node>,
    state: AtomicU32,
    /// The waiter's CPU.
    pub(super) cpu: u32,
}

// What a node's state is. The waiter changes between the first two; the waiter before it, which by
// then owns the lock, sets one of the others, and nobody changes it after that.

/// Waiting for its turn to be the head of the queue, and looking.
const AWAKE: u32 = 0;
/// Waiting for its turn, asleep or about to be.
const ASLEEP: u32 = 1;
/// Head of the queue.
const HEAD: u32 = 2;
/// Head of the queue, and the queue names it as a sleeper that the release is to kick.
const NAMED_HEAD: u32 = 3;

/// How often a waiter asks whether the one before it is preempted: once in so many looks.
const LOOKS_PER_QUESTION: u32 = 128;

impl Node {
    const_unless_loom! {
        pub(super) const fn new(cpu: u32) -> Self {
            Node {
                next: AtomicPtr::new(ptr::null_mut()),
                state: AtomicU32::new(AWAKE),
                cpu,
            }
        }
    }

    /// Waits behind `previous` until this is the head of the queue, and returns whether the queue
    /// names it as a sleeper.
    ///
    /// # Safety
    ///
    /// `previous` must be what was the queue's tail before this node.
    pub(super) unsafe fn wait_behind<H: Host>(&self, previous: *const Node, host: &H) -> bool {
        // SAFETY: it was a tail, so it stays until it has found out who came after it.
        let previous_cpu = unsafe {
            let previous = &*previous;
            let cpu = previous.cpu;
            let this = ptr::from_ref(self).cast_mut();
            previous.next.store(this, Ordering::Release);
            cpu
        };
        loop {
            for look in 0..H::SPINS {
                match self.state.load(Ordering::Acquire) {
                    AWAKE => {}
                    state => return state == NAMED_HEAD,
                }
                if look % LOOKS_PER_QUESTION == 0 && host.vcpu_is_preempted(previous_cpu) {
                    break;
                }
                spin_loop();
            }
            if self.change(AWAKE, ASLEEP) {
                host.wait(&self.state, ASLEEP);
                self.change(ASLEEP, AWAKE);
            }
        }
    }

    /// Makes the waiter behind this one the head of the queue; there must be one. If it sleeps, it
    /// goes on sleeping, and `name` is called first to have it kicked later.
    pub(super) fn make_next_head(&self, name: impl FnOnce(u32)) {
        let next = loop {
            let next = self.next.load(Ordering::Acquire);
            if !next.is_null() {
                // SAFETY: it waits until it is made the head, which is below.
                break unsafe { &*next };
            }
            // It has become the tail and is about to say so.
            spin_loop();
        };
        if !next.change(AWAKE, HEAD) {
            name(next.cpu);
            next.state.store(NAMED_HEAD, Ordering::Release);
        }
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}
