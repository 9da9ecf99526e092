//! The atomics of memory that others write, so that a model can replace them.
//!
//! In unit tests with `--cfg loom` these are loom's, which explore every interleaving
//! and every stale value that the Rust memory model allows. Otherwise they are
//! core's.

cfg_if::cfg_if! {
    if #[cfg(all(loom, test))] {
        pub(crate) use loom::hint::spin_loop;
        pub(crate) use loom::sync::atomic::{
            AtomicI8, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
        };
    } else {
        pub(crate) use core::hint::spin_loop;
        pub(crate) use core::sync::atomic::{
            AtomicI8, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
        };
    }
}

/// Declares a function that is `const`, except under loom, whose atomics cannot
/// be made in a constant.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(all(loom, test)))]
        $(#[$meta])* $vis const fn $($rest)*
        #[cfg(all(loom, test))]
        $(#[$meta])* $vis fn $($rest)*
    };
}
pub(crate) use const_unless_loom;
