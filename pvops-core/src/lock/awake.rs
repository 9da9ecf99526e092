//! Whether waiters may sleep at all.

use core::sync::atomic::{AtomicBool, Ordering};

/// Keeps waiters for locks awake and in turn, whatever the host is: for the option that Linux calls
/// `nopvspin`, and hosts with a physical CPU for each of this machine's.
/// Call it before [`install`](crate::install()).
pub fn keep_waiters_awake() {
    AWAKE.store(true, Ordering::Relaxed);
}

/// Whether waiters are to be [kept awake](keep_waiters_awake): for backends, when they bind.
pub fn are_waiters_kept_awake() -> bool {
    AWAKE.load(Ordering::Relaxed)
}

static AWAKE: AtomicBool = AtomicBool::new(false);
