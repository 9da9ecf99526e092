//! Loads and stores of 64-bit atomics that leave the FPU alone.
//!
//! For `AtomicU64::load` and `store` a compiler of 32-bit code takes x87 instructions, and in a kernel
//! the FPU's registers are those of whatever program ran last: with all of them in use, the value
//! that is moved is lost. Read-modify-write operations are CMPXCHG8B, so here these two are, too.

use crate::atomic::{AtomicU64, Ordering};

/// The value of `word`. Any context. The word must be writable.
#[inline]
pub fn load(word: &AtomicU64, order: Ordering) -> u64 {
    if cfg!(target_pointer_width = "64") {
        word.load(order)
    } else {
        word.compare_exchange(0, 0, Ordering::SeqCst, order)
            .unwrap_or_else(|value| value)
    }
}

/// Stores `value`. Any context.
#[inline]
pub fn store(word: &AtomicU64, value: u64, order: Ordering) {
    if cfg!(target_pointer_width = "64") {
        word.store(value, order);
    } else {
        word.swap(value, order);
    }
}
