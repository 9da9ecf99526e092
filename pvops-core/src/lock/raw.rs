//! The queue lock for kernels: on the ops, as `lock_api` wants it.

use core::marker::PhantomData;

use lock_api::{GuardSend, RawMutex};

use super::host::Host;
use super::queue::Queue;
use super::turns::in_turn;
use crate::atomic::AtomicU32;

/// Data behind a [`RawQueueLock`].
pub type Mutex<C, T> = lock_api::Mutex<RawQueueLock<C>, T>;

/// Access to the data of a [`Mutex`] until dropped.
pub type MutexGuard<'a, C, T> = lock_api::MutexGuard<'a, RawQueueLock<C>, T>;

/// How a lock learns which CPU takes it: the CPU that is kicked when the lock is free.
///
/// Only asked for when the lock is held by somebody else, in whatever context the lock is taken.
pub trait CpuIndex {
    /// Index of the CPU that asks, as [`Kernel::cpu_index`](crate::Kernel::cpu_index) has it; it
    /// must stay the same until the lock is taken. A wrong one lets another CPU be kicked, so this
    /// one may sleep for ever.
    fn cpu_index() -> usize;
}

/// A lock whose waiters sleep, after long, if the host can wake them. First come, first served, on
/// hardware and where waiters sleep; on other hosts in no order, which [the module](super) explains.
///
/// It may be released on another CPU than the one that took it.
#[derive(Debug)]
pub struct RawQueueLock<C> {
    queue: Queue,
    cpu: PhantomData<fn() -> C>,
}

// SAFETY: the queue has one owner at a time, and releasing it happens before it is taken again.
unsafe impl<C: CpuIndex> RawMutex for RawQueueLock<C> {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = RawQueueLock {
        queue: Queue::new(),
        cpu: PhantomData,
    };

    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        if !self.queue.try_lock() {
            self.wait_and_lock();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.queue.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock.
        unsafe { crate::ops::lock::release(&self.queue) };
    }

    fn is_locked(&self) -> bool {
        self.queue.is_locked()
    }
}

impl<C: CpuIndex> RawQueueLock<C> {
    #[cold]
    #[inline(never)]
    fn wait_and_lock(&self) {
        match in_turn() {
            true => self.queue.lock(&Ops, C::cpu_index() as u32),
            false => self.queue.lock_out_of_turn(),
        }
    }
}

/// What the op [`lock::release`](fn@crate::lock::release) goes on to if counting down has not freed
/// the lock.
///
/// # Safety
///
/// As for [`Queue::release_to_sleeper`].
pub(crate) unsafe extern "C" fn release_to_sleeper<H: Host + Default>(queue: *const Queue) {
    // SAFETY: the caller holds the lock, so it exists.
    unsafe { (*queue).release_to_sleeper(&H::default()) };
}

/// The ops of this group. Inline: a function of this crate would have call sites, which keep themselves
/// and so want the op table, in kernels that use no op, too.
#[derive(Default)]
pub(crate) struct Ops;

impl Host for Ops {
    /// About what it costs to sleep and be kicked, so that a waiter loses at most twice the time
    /// that the better choice would have taken: PAUSE takes 10 to 140 cycles, two exits and the
    /// host's scheduler some tens of thousands.
    const SPINS: u32 = 1024;

    #[inline]
    fn wait(&self, word: &AtomicU32, value: u32) {
        // SAFETY: the word is borrowed until the op returns.
        unsafe { crate::ops::lock::wait(word.as_ptr(), value) };
    }

    #[inline]
    fn kick(&self, cpu: u32) {
        crate::ops::lock::kick(cpu as usize);
    }

    #[inline]
    fn vcpu_is_preempted(&self, cpu: u32) -> bool {
        crate::ops::lock::vcpu_is_preempted(cpu as usize)
    }
}
