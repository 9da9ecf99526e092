//! Loads and stores of 64-bit atomics that leave the FPU alone.
//!
//! For `AtomicU64::load` and `store` a compiler of 32-bit code takes x87 instructions, and in a kernel
//! the FPU's registers are those of whatever program ran last: with all of them in use, the value
//! that is moved is lost. Read-modify-write operations are CMPXCHG8B, so here these two are, too.
//!
//! Orders are those that the methods of `AtomicU64` take; others are a panic, as they are there.

use crate::atomic::{AtomicU64, Ordering};

cfg_if::cfg_if! {
    if #[cfg(target_pointer_width = "64")] {
        /// The value of `word`. Any context.
        #[inline]
        pub fn load(word: &AtomicU64, order: Ordering) -> u64 {
            word.load(order)
        }

        /// Stores `value`. Any context.
        #[inline]
        pub fn store(word: &AtomicU64, value: u64, order: Ordering) {
            word.store(value, order);
        }
    } else {
        /// The value of `word`, which must be writable. Any context.
        #[inline]
        pub fn load(word: &AtomicU64, order: Ordering) -> u64 {
            word.compare_exchange(0, 0, Ordering::SeqCst, order)
                .unwrap_or_else(|value| value)
        }

        /// Stores `value`. Any context.
        #[inline]
        pub fn store(word: &AtomicU64, value: u64, order: Ordering) {
            word.swap(value, order);
        }
    }
}
