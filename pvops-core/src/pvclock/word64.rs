//! A 64-bit field of a shared record, read without locked instructions.
//!
//! A 32-bit CPU has no plain 64-bit load: an `AtomicU64` would become a locked
//! `cmpxchg8b`, or an x87 load that needs the FPU to be the kernel's. The
//! version protocol around the field already detects a torn value, so there the
//! field is two 32-bit halves.

use crate::atomic::Ordering;

cfg_if::cfg_if! {
    if #[cfg(target_pointer_width = "64")] {
        use crate::atomic::AtomicU64;

        /// A 64-bit little-endian field that both sides access at any time.
        ///
        /// Its two halves may be of different age: use it only under a version.
        #[repr(transparent)]
        pub struct HostU64(AtomicU64);

        impl HostU64 {
            crate::atomic::const_unless_loom! {
                /// A field that holds `value`.
                pub const fn new(value: u64) -> Self {
                    Self(AtomicU64::new(value))
                }
            }

            /// The value now. Relaxed.
            #[inline]
            pub fn load(&self) -> u64 {
                self.0.load(Ordering::Relaxed)
            }

            /// Replaces the value. Relaxed. For the writing side of a record.
            pub fn store(&self, value: u64) {
                self.0.store(value, Ordering::Relaxed);
            }
        }
    } else {
        use crate::atomic::AtomicU32;

        /// A 64-bit little-endian field that both sides access at any time.
        ///
        /// Its two halves may be of different age: use it only under a version. Aligned to four bytes,
        /// as 32-bit ABIs have it.
        #[repr(C)]
        pub struct HostU64 {
            low: AtomicU32,
            high: AtomicU32,
        }

        impl HostU64 {
            crate::atomic::const_unless_loom! {
                /// A field that holds `value`.
                pub const fn new(value: u64) -> Self {
                    Self {
                        low: AtomicU32::new(value as u32),
                        high: AtomicU32::new((value >> 32) as u32),
                    }
                }
            }

            /// The value now. Relaxed.
            #[inline]
            pub fn load(&self) -> u64 {
                let low = self.low.load(Ordering::Relaxed);
                let high = self.high.load(Ordering::Relaxed);
                u64::from(high) << 32 | u64::from(low)
            }

            /// Replaces the value. Relaxed. For the writing side of a record.
            pub fn store(&self, value: u64) {
                self.low.store(value as u32, Ordering::Relaxed);
                self.high.store((value >> 32) as u32, Ordering::Relaxed);
            }
        }
    }
}
