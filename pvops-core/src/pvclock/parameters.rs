//! One state of a CPU's clock, and the arithmetic on it.

use super::Flags;
use crate::tsc_scale::TscScale;

/// How one CPU's TSC relates to the guest's system time, copied from its record.
///
/// Good until the host changes the record: at the latest when the guest is
/// migrated or resumed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters {
    /// The TSC at the moment the host took [`system_time_ns`](Self::system_time_ns), modulo 2^64: a
    /// host may take it before the guest's TSC was 0, and tells a negative one then.
    pub tsc_timestamp: u64,
    /// The guest's system time at that moment, in nanoseconds.
    pub system_time_ns: u64,
    /// The rate of the TSC.
    pub scale: TscScale,
    /// What the host says of the clock.
    pub flags: Flags,
}

/// A time that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The guest's system time in nanoseconds.
    pub ns: u64,
    /// The TSC it was computed from.
    pub tsc: u64,
    /// What the host says of the clock. Whether
    /// [`TSC_STABLE`](Flags::TSC_STABLE) may be believed is for the backend to
    /// know.
    pub flags: Flags,
}

impl Parameters {
    /// The system time in nanoseconds when the TSC of this CPU was `tsc`.
    ///
    /// A `tsc` before [`tsc_timestamp`](Self::tsc_timestamp) gives
    /// [`system_time_ns`](Self::system_time_ns). The sum is taken modulo 2^64,
    /// as in the ABI, so that a host may start the clock a little below zero.
    #[inline]
    pub const fn ns_at(&self, tsc: u64) -> u64 {
        let ticks = match tsc.wrapping_sub(self.tsc_timestamp) {
            ticks @ 0..=MOST_TICKS => ticks,
            _ => 0,
        };
        self.system_time_ns
            .wrapping_add(self.scale.ticks_to_ns(ticks))
    }

    /// The first TSC value of this CPU at which the system time is `ns` or more.
    ///
    /// For TSC deadlines. A time that had passed by
    /// [`tsc_timestamp`](Self::tsc_timestamp) gives that, or 0 if that was before the TSC was 0; one
    /// beyond the range of the TSC gives [`u64::MAX`].
    pub const fn tsc_at(&self, ns: u64) -> u64 {
        let ticks = match ns.wrapping_sub(self.system_time_ns) {
            ahead_ns @ 0..=MOST_NS => self.scale.ns_to_ticks(ahead_ns),
            _ => 0,
        };
        match self.tsc_timestamp {
            timestamp @ 0..=MOST_TICKS => timestamp.saturating_add(ticks),
            negative => ticks.saturating_sub(negative.wrapping_neg()),
        }
    }
}

/// What is further ahead, modulo 2^64, is behind.
const MOST_TICKS: u64 = i64::MAX as u64;
const MOST_NS: u64 = i64::MAX as u64;
