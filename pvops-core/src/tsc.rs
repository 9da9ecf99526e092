//! The rate of the time-stamp counter, and who told us.

use spin::Once;

static FREQUENCY: Once<TscFrequency> = Once::new();

/// The rate of the time-stamp counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TscFrequency {
    khz: u64,
    source: &'static str,
}

impl TscFrequency {
    /// A rate that `source` gives, which [`source`](Self::source) explains; `None` for 0 kHz, by which
    /// hosts say that they don't know.
    pub const fn new(khz: u64, source: &'static str) -> Option<Self> {
        match khz {
            0 => None,
            _ => Some(TscFrequency { khz, source }),
        }
    }

    /// In kHz; never 0.
    pub const fn khz(self) -> u64 {
        self.khz
    }

    /// Where the number is from, for people: `cpuid 0x15`, `pit`, `kvmclock`.
    pub const fn source(self) -> &'static str {
        self.source
    }
}

/// The rate that the backend found, once it is installed; `None` if it found none. Any context.
pub fn frequency() -> Option<TscFrequency> {
    FREQUENCY.get().copied()
}

/// Publishes the rate: for backends, in [`Backend::bind`](crate::backend::Backend::bind). Only the first
/// call counts.
pub fn publish(frequency: TscFrequency) {
    FREQUENCY.call_once(|| frequency);
}
