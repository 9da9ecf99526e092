//! Whether waiters take a lock in turn.
//!
//! A host that stops CPUs can stop the next in turn, and then nobody gets on until that one runs
//! again. Once two CPUs of such a host have met at a lock they wait for each other every time that
//! they take it: whoever has released it stands behind the one that is stopped. If the waiters can't
//! sleep, so that the host would know whom to run, it is better to let those have the lock who run.

use core::sync::atomic::{AtomicBool, Ordering};

use super::awake::are_waiters_kept_awake;
use crate::binding::Outcome;
use crate::bindings;
use crate::probe::Interfaces;

/// Decides it, while there is one CPU: in turn on hardware, where waiters sleep, and where they are
/// [kept awake](super::keep_waiters_awake) because no CPU is stopped for long.
pub(crate) fn choose(bindings: &bindings::lock, interfaces: &Interfaces) {
    let sleep = bindings.kick.outcome() != Outcome::Nop;
    let stands_still = interfaces.in_virtual_machine() && !sleep && !are_waiters_kept_awake();
    IN_TURN.store(!stands_still, Ordering::Relaxed);
}

/// Whether waiters take a lock in turn.
#[cfg(not(all(loom, test)))]
pub(super) fn in_turn() -> bool {
    IN_TURN.load(Ordering::Relaxed)
}

static IN_TURN: AtomicBool = AtomicBool::new(true);
