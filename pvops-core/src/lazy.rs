//! Lazy mode: changes to page tables that a host may gather and make in one go.
//!
//! On hosts that have a say in page tables each store is a hypercall, so a loop over many entries
//! says where it begins and ends, by the guards of [`mmu::lazy`](crate::mmu::lazy()) and
//! [`mmu::eager`](crate::mmu::eager()). On others both ends are nothing at all: the guard keeps no count.
//! The count of guards is the backend's, in whatever it keeps for each CPU, and [`LazyDepth`] is
//! that count, so that the rules below are the same everywhere.
//!
//! - Guards nest. The outermost decides: changes are made when it is dropped at the latest, and the
//!   inner ones do nothing.
//! - A guard belongs to a CPU: it is `!Send`, and its owner must not be preempted, sleep or switch
//!   tasks while it lives.
//! - What is put off can be read back from the tables only after
//!   [`mmu::flush_lazy`](fn@crate::mmu::flush_lazy).
//! - An interrupt or exception handler that touches page tables, and may have interrupted a lazy
//!   section, takes an [`EagerMode`](crate::mmu::EagerMode) first. It makes what was put off, and until
//!   it is dropped nothing is put off, whatever guards the handler or the interrupted code hold.

pub(crate) mod guard;

use core::sync::atomic::{AtomicU32, Ordering};

/// How deep one CPU is in lazy mode: for backends that put changes off.
///
/// Only its CPU changes it. An interrupt handler that does so leaves it as it was, so plain loads
/// and stores suffice. Interrupts are off from before [`leave`](Self::leave) or [`pause`](Self::pause)
/// until what they say must be made is made: a handler would believe that nothing is put off.
#[derive(Debug, Default)]
pub struct LazyDepth {
    guards: AtomicU32,
    pauses: AtomicU32,
}

impl LazyDepth {
    /// Of a CPU that is not in lazy mode.
    pub const fn new() -> Self {
        LazyDepth {
            guards: AtomicU32::new(0),
            pauses: AtomicU32::new(0),
        }
    }

    /// Whether a change may be put off now.
    pub fn is_lazy(&self) -> bool {
        self.guards.load(Ordering::Relaxed) != 0 && self.pauses.load(Ordering::Relaxed) == 0
    }

    /// For the op `mmu.enter_lazy`.
    pub fn enter(&self) {
        add(&self.guards, 1);
    }

    /// For the op `mmu.leave_lazy`; whether what was put off must be made now.
    #[must_use]
    pub fn leave(&self) -> bool {
        let was_lazy = self.is_lazy();
        add(&self.guards, -1);
        was_lazy && !self.is_lazy()
    }

    /// For the op `mmu.pause_lazy`; whether what was put off must be made now.
    #[must_use]
    pub fn pause(&self) -> bool {
        let was_lazy = self.is_lazy();
        add(&self.pauses, 1);
        was_lazy
    }

    /// For the op `mmu.resume_lazy`.
    pub fn resume(&self) {
        add(&self.pauses, -1);
    }
}

/// A count that is left more often than entered stays at 0, where nothing is put off.
fn add(count: &AtomicU32, change: i32) {
    let next = count.load(Ordering::Relaxed).saturating_add_signed(change);
    count.store(next, Ordering::Relaxed);
}
