//! How long a host let a CPU wait that wanted to run, as far as it can be believed.

use core::fmt;

use crate::atomic::{AtomicU64, Ordering, const_unless_loom};
use crate::atomic64;

/// What a host has said of the time that one CPU lost.
///
/// It never goes back, and it is never more than the clock shows: who takes it from a time that has
/// passed gets no negative number, whatever the host writes. A host that once names too much has then
/// taken the whole time until that moment, and no more.
pub struct StolenTime {
    most_ns: AtomicU64,
    /// What was lost before the host began to count anew.
    before_ns: AtomicU64,
}

impl StolenTime {
    const_unless_loom! {
        /// Nothing is lost yet.
        pub const fn new() -> Self {
            Self {
                most_ns: AtomicU64::new(0),
                before_ns: AtomicU64::new(0),
            }
        }
    }

    /// The host counts from 0 now, as another one does to which the guest has moved. While nobody asks.
    pub fn restart(&self) {
        let most_ns = atomic64::load(&self.most_ns, Ordering::Relaxed);
        atomic64::store(&self.before_ns, most_ns, Ordering::Relaxed);
    }

    /// The time lost, in nanoseconds, now that the host has named `host_ns`; `None` if its record could
    /// not be read. `clock_ns` is [`time::clock_ns`](fn@crate::time::clock_ns), asked after the
    /// record was read. Any context, any CPU.
    pub fn advance(&self, host_ns: Option<u64>, clock_ns: u64) -> u64 {
        let before_ns = atomic64::load(&self.before_ns, Ordering::Relaxed);
        let ns = host_ns.map_or(0, |ns| before_ns.saturating_add(ns).min(clock_ns));
        self.most_ns.fetch_max(ns, Ordering::Relaxed).max(ns)
    }
}

impl fmt::Debug for StolenTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most_ns = atomic64::load(&self.most_ns, Ordering::Relaxed);
        formatter
            .debug_struct("StolenTime")
            .field("most_ns", &most_ns)
            .finish_non_exhaustive()
    }
}

impl Default for StolenTime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: u64 = 1 << 40;

    #[test]
    fn it_goes_on_with_the_host() {
        let stolen = StolenTime::new();
        assert_eq!(stolen.advance(Some(5), LATE), 5);
        assert_eq!(stolen.advance(Some(9), LATE), 9);
    }

    #[test]
    fn it_does_not_go_back() {
        let stolen = StolenTime::new();
        stolen.advance(Some(1000), LATE);
        assert_eq!(stolen.advance(Some(10), LATE), 1000);
        assert_eq!(stolen.advance(None, LATE), 1000);
        assert_eq!(stolen.advance(Some(1001), LATE), 1001);
    }

    #[test]
    fn it_goes_on_where_a_host_counts_anew() {
        let stolen = StolenTime::new();
        stolen.advance(Some(1000), LATE);
        stolen.restart();
        assert_eq!(stolen.advance(Some(0), LATE), 1000);
        assert_eq!(stolen.advance(Some(5), LATE), 1005);
        stolen.restart();
        assert_eq!(stolen.advance(Some(3), LATE), 1008);
        assert_eq!(stolen.advance(Some(u64::MAX), LATE), LATE);
    }

    #[test]
    fn no_more_time_is_lost_than_has_passed() {
        let stolen = StolenTime::new();
        assert_eq!(stolen.advance(Some(8), 7), 7);
        assert_eq!(stolen.advance(Some(u64::MAX), 100), 100);
        // The host goes on as if nothing had been.
        assert_eq!(stolen.advance(Some(9), 200), 100);
        assert_eq!(stolen.advance(Some(150), 200), 150);
    }
}
