//! One clock from the records of all CPUs, which never goes back.
//!
//! Readings of different CPUs may disagree by some nanoseconds unless the host
//! says that they do not, a migration may bring a host that says otherwise, and
//! a reading may fail. Time must not go back for any of these. The usual remedy
//! is to publish every reading and never return less than was published. But
//! then every CPU writes one cache line at every reading, and that costs more
//! than the reading.
//!
//! So while readings are comparable they are not published, only *leased*: a
//! published time under lease promises that no CPU has returned a time
//! [`LEASE_NS`](MonotonicClock::LEASE_NS) or more above it. A reading in that
//! window is returned as it is, after one load of a line that nobody writes.
//! The first reading past the window publishes itself, about once a millisecond
//! on the whole machine. Whoever cannot rely on the comparison, because the
//! reading failed or is not declared stable, ends the lease: it publishes the
//! end of the window, which is at or above all that was ever returned.
//!
//! What it costs: after such an event the clock may stand still for up to
//! `LEASE_NS`. It is never further ahead than that.
//!
//! All accesses are relaxed. Everything is decided by the modification order of
//! one atomic word: a CPU that has learnt of a returned time in any way that
//! synchronises, then loads that word or a newer one (coherence).

use core::fmt;

use super::{Flags, Reading, TimeInfoPointer};
use crate::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, const_unless_loom};
use crate::atomic64;

/// The guest's system time, the same on all CPUs and never going back.
///
/// Put one in a `static`, and pass it the record of the CPU that asks.
///
/// Time does not go back from one reading to another that starts after the
/// first has returned, on the same or another CPU. While a host declares
/// [`TSC_STABLE`](Flags::TSC_STABLE) and that flag is declared valid, the host
/// answers for the readings of its CPUs to agree; one that is wrong in this can
/// make time go back by less than [`LEASE_NS`](Self::LEASE_NS). In all other
/// cases nothing is asked of the host.
#[repr(align(64))]
pub struct MonotonicClock {
    /// A time in nanoseconds, with `LEASED` on top.
    published: AtomicU64,
    valid_flags: AtomicU8,
    failed_readings: AtomicU32,
}

impl MonotonicClock {
    /// How far above the published time readings go unpublished.
    pub const LEASE_NS: u64 = 1 << 20;

    const_unless_loom! {
        /// A clock at zero that believes no flag.
        pub const fn new() -> Self {
            Self {
                published: AtomicU64::new(0),
                valid_flags: AtomicU8::new(0),
                failed_readings: AtomicU32::new(0),
            }
        }
    }

    /// Says which flags of the records mean something on this host.
    ///
    /// Only [`TSC_STABLE`](Flags::TSC_STABLE) matters to this clock. On KVM it
    /// is valid if the host offers KVM_FEATURE_CLOCKSOURCE_STABLE. Until this is
    /// called no flag is. Any context, any CPU, any time.
    pub fn set_valid_flags(&self, flags: Flags) {
        self.valid_flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// The system time in nanoseconds.
    ///
    /// `record` and `tsc` are those of the CPU that this runs on, as for
    /// [`TimeInfoPointer::read`]. If the record cannot be read, or gives a time
    /// of 2^62 ns (146 years) or more, then time stands still, and the failure
    /// is counted in [`failed_readings`](Self::failed_readings).
    ///
    /// Any context; the thread must not move to another CPU meanwhile. Writes
    /// nothing on the stable path, but for one compare-and-exchange in about
    /// each [`LEASE_NS`](Self::LEASE_NS). (A 32-bit CPU has no plain 64-bit
    /// load, and pays for one locked instruction at each reading.)
    #[inline]
    pub fn now_ns(&self, record: TimeInfoPointer, tsc: impl FnMut() -> u64) -> u64 {
        match record.read(tsc) {
            Ok(reading) if reading.ns < NS_LIMIT => self.advance(reading),
            _ => self.stand_still(),
        }
    }

    /// Forgets the times that were returned: the next one may be any. For a guest that was restored
    /// where the host's clock has another zero, and makes up for the difference itself; else time would
    /// stand still until that clock has caught up. No other CPU reads the clock meanwhile.
    pub fn restart(&self) {
        atomic64::store(&self.published, 0, Ordering::Relaxed);
    }

    /// How many readings have failed, modulo 2^32.
    pub fn failed_readings(&self) -> u32 {
        self.failed_readings.load(Ordering::Relaxed)
    }

    #[inline]
    fn advance(&self, reading: Reading) -> u64 {
        let valid = Flags::from_bits_retain(self.valid_flags.load(Ordering::Relaxed));
        if !(reading.flags & valid).contains(Flags::TSC_STABLE) {
            return self.advance_unstable(reading.ns);
        }
        // If the lease bit is clear, this difference is beyond any window.
        let leased_from = atomic64::load(&self.published, Ordering::Relaxed) ^ LEASED;
        if reading.ns.wrapping_sub(leased_from) < Self::LEASE_NS {
            return reading.ns;
        }
        self.renew_lease(reading.ns)
    }

    /// Publishes a stable reading that no lease covers.
    #[cold]
    fn renew_lease(&self, ns: u64) -> u64 {
        self.publish(|floor| {
            if ns < floor.upper_bound() {
                // Below the floor, or in the window of a lease.
                return (floor, ns.max(floor.ns));
            }
            (Floor { ns, leased: true }, ns)
        })
    }

    /// Publishes a reading that other CPUs may not agree with.
    #[inline(never)]
    fn advance_unstable(&self, ns: u64) -> u64 {
        self.publish(|floor| {
            let ns = ns.max(floor.upper_bound());
            (Floor { ns, leased: false }, ns)
        })
    }

    #[cold]
    fn stand_still(&self) -> u64 {
        self.failed_readings.fetch_add(1, Ordering::Relaxed);
        self.advance_unstable(0)
    }

    /// Replaces the published time, unless it stays the same.
    ///
    /// Another CPU can only make this loop go round again by having advanced
    /// the clock itself.
    fn publish(&self, decide: impl Fn(Floor) -> (Floor, u64)) -> u64 {
        let mut word = atomic64::load(&self.published, Ordering::Relaxed);
        loop {
            let (floor, ns) = decide(Floor::unpack(word));
            let next = floor.pack();
            if next == word {
                return ns;
            }
            match self.published.compare_exchange_weak(
                word,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return ns,
                Err(newer) => word = newer,
            }
        }
    }
}

impl fmt::Debug for MonotonicClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MonotonicClock")
            .field("failed_readings", &self.failed_readings())
            .finish_non_exhaustive()
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of the times that were returned.
#[derive(Clone, Copy)]
struct Floor {
    ns: u64,
    /// Times above `ns` were returned too, but less than a lease above.
    leased: bool,
}

impl Floor {
    fn unpack(word: u64) -> Self {
        Self {
            ns: word & !LEASED,
            leased: word & LEASED != 0,
        }
    }

    fn pack(self) -> u64 {
        self.ns | if self.leased { LEASED } else { 0 }
    }

    /// The least time that is known to be at or above all that was returned.
    fn upper_bound(self) -> u64 {
        if self.leased {
            self.ns + MonotonicClock::LEASE_NS
        } else {
            self.ns
        }
    }
}

/// Set in the published word while stable readings go unpublished.
const LEASED: u64 = 1 << 63;

/// Readings stay below this, so that a lease more still leaves `LEASED` free.
const NS_LIMIT: u64 = 1 << 62;
