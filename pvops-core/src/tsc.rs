//! The rate of the time-stamp counter, and who told us.

use spin::Once;

static FREQUENCY: Once<TscFrequency> = Once::new();

/// The rate of the time-stamp counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TscFrequency {
    /// In kHz; never 0.
    pub khz: u64,
    /// Where the number is from, for people: `cpuid 0x15`, `pit`, `kvmclock`.
    pub source: &'static str,
}

/// The rate that the backend found, once it is installed.
pub fn frequency() -> Option<TscFrequency> {
    FREQUENCY.get().copied()
}

/// Publishes the rate: for the backend that is being bound. Only the first call counts.
pub fn publish(frequency: TscFrequency) {
    FREQUENCY.call_once(|| frequency);
}
