//! Reading a record that another party may be rewriting.
//!
//! The writer makes the record's version odd, changes the fields, and makes the
//! version even again, two higher. A reader that finds the same even version
//! before and after its copy has copied one state of the record.
//!
//! # Why these orderings suffice
//!
//! In the Rust memory model the host counts as one more thread, whose writes
//! are relaxed atomic stores, with a release fence between the odd version and
//! the fields, and another between the fields and the even version. Every load
//! here is a relaxed atomic load, so there is no data race, only stale values.
//! The reader has two acquire fences, and each one excludes one kind of them:
//!
//! 1. *Between the first version load and the fields.* If that load returned
//!    even version *v*, then the fence pairs with the release fence before the
//!    store of *v*. All fields of state *v* happened before, so no field load
//!    can return a value older than *v*.
//! 2. *Between the fields and the second version load.* If a field load
//!    returned a value newer than *v*, then the fence pairs with the release
//!    fence after the store of the odd version *v* + 1. That store happened
//!    before the second version load, which therefore cannot return *v*.
//!
//! If both version loads return *v*, then no field was older and none newer.
//! `model` fails if either fence is removed.
//!
//! On x86 loads are not reordered with loads, and stores not with stores (Intel
//! SDM volume 3, "Memory Ordering in P6 and More Recent Processor Families"), so
//! both fences are no instruction at all and only keep the compiler from moving
//! loads. A host that writes with plain
//! instructions is then as good as one with the fences above. Where a field is
//! written in pieces, the fields are simply smaller ones, and the argument
//! stands.
//!
//! A version that returns to *v* after 2^31 updates within one copy is not
//! detected.

use crate::atomic::{Ordering, fence, spin_loop};

/// How often [`read_consistent`] looks at a record before it gives up.
///
/// A host rewrites a record in well under a microsecond, and mostly while the
/// CPU that reads it is not running, so a second look nearly always succeeds.
/// 64 looks with a pause between them last some microseconds: long enough for
/// any host that keeps the protocol, short enough for an interrupt handler when
/// the host stopped in the middle of an update, or never ends one.
pub const MAX_ATTEMPTS: u32 = if cfg!(all(loom, test)) { 2 } else { 64 };

/// The record was being rewritten at each of [`MAX_ATTEMPTS`] looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TornError;

/// Copies one state of a record that has a version.
///
/// `version` loads the version and `copy` the fields, both with relaxed atomic
/// loads; `copy` may run several times, and its result is dropped when it may
/// be torn. It must not panic or do harm on any mixture of values.
///
/// May be called from any context. Ends after [`MAX_ATTEMPTS`] looks.
///
/// # Errors
///
/// [`TornError`] if the version was odd or changed during each look.
#[inline]
pub fn read_consistent<T>(
    mut version: impl FnMut() -> u32,
    mut copy: impl FnMut() -> T,
) -> Result<T, TornError> {
    for _ in 0..MAX_ATTEMPTS {
        let before = version();
        if before & UPDATING == 0 {
            fence(Ordering::Acquire);
            let copied = copy();
            fence(Ordering::Acquire);
            if version() == before {
                return Ok(copied);
            }
        }
        spin_loop();
    }
    Err(TornError)
}

impl core::fmt::Display for TornError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "record still changing after {MAX_ATTEMPTS} looks")
    }
}

impl core::error::Error for TornError {}

/// Set in the version while the writer changes the fields.
const UPDATING: u32 = 1;
