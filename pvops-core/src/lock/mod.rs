//! Waiting for another CPU: the ops, and a lock made of them, fair where that is good.
//!
//! On a host that runs more virtual CPUs than it has, a fair spin lock is worse than none: its next
//! owner may not be running while all others spin for it. So whoever waits for long asks the host
//! to sleep ([`wait`]), and whoever releases the lock to a sleeper has it woken ([`kick`]). On bare
//! hardware nobody sleeps, and the lock costs what a plain ticket lock costs: locking and releasing
//! it, uncontended, is five instructions, one of them locked, none of them for the host. Where waiters
//! sleep, releasing it is a call of three instructions, one of them locked. Where CPUID says that
//! there is a hypervisor, and it has nothing to sleep by, waiters take the lock in no order: whoever
//! runs gets on. A kernel whose CPUs all have physical ones calls [`keep_waiters_awake`], and has
//! turns again.
//!
//! ```text
//! struct ThisCpu;
//! impl CpuIndex for ThisCpu {
//!     fn cpu_index() -> usize { /* from the kernel's per-CPU block */ }
//! }
//! type Mutex<T> = pvops_core::lock::Mutex<ThisCpu, T>;
//! static RUN_QUEUE: Mutex<RunQueue> = Mutex::new(RunQueue::new());
//! ```
//!
//! It is a spin lock all the same: take it with preemption off, and with interrupts off if an
//! interrupt handler takes it too.
//!
//! # For backends
//!
//! The ops are only right together: whoever sleeps in [`wait`] needs a release that kicks. So a
//! backend does not bind them one by one, but says what its host can do:
//!
//! ```text
//! lock: bindings::lock::AWAKE
//!     .with_preemption(preserve!(lock::vcpu_is_preempted, vcpu_is_preempted))
//!     .with_sleep(preserve!(lock::wait, wait), preserve!(lock::kick, kick)),
//! ```
//!
//! The fields are out of its reach:
//!
//! ```compile_fail,E0616
//! use pvops_core::{Bindings, inline};
//! fn sleep(bindings: &mut Bindings) {
//!     bindings.lock.wait = inline!(lock::wait, "hlt");
//! }
//! ```
//!
//! `queue.rs` holds the lock's algorithm, and the argument that no wake-up is lost.

mod awake;
mod host;
mod node;
mod queue;
mod turns;

cfg_if::cfg_if! {
    // A model's atomics can't be made in a constant, which `RawMutex` wants.
    if #[cfg(not(all(loom, test)))] {
        mod raw;
        pub(crate) use {host::Host, raw::{Ops, release_to_sleeper}};
        pub use raw::{CpuIndex, Mutex, MutexGuard, RawQueueLock};
    } else {
        mod model;
    }
}

pub use crate::ops::lock::*;
pub use awake::{are_waiters_kept_awake, keep_waiters_awake};
pub use queue::Queue;
pub(crate) use turns::choose as choose_turns;
