//! What the lock asks of its host, so that a model can stand in for the ops.

use crate::atomic::AtomicU32;

/// The host of the CPUs that take locks.
pub(crate) trait Host {
    /// How often a waiter looks before it sleeps.
    const SPINS: u32;

    /// As the op [`lock::wait`](fn@crate::lock::wait).
    fn wait(&self, word: &AtomicU32, value: u32);

    /// As the op [`lock::kick`](fn@crate::lock::kick).
    fn kick(&self, cpu: u32);

    /// As the op [`lock::vcpu_is_preempted`](fn@crate::lock::vcpu_is_preempted).
    fn vcpu_is_preempted(&self, cpu: u32) -> bool;
}
