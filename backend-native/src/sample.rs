//! Learning the rate of one counter from another, by reading both as if at once.

use pvops_core::cpu;

/// A device's counter, and the time-stamp counter in the middle of reading it.
pub(crate) struct Sample {
    pub(crate) count: u32,
    pub(crate) tsc: u64,
}

/// Of so many readings, the one that took the least time counts.
const READINGS: u32 = 5;

/// Takes a sample for the beginning of a measurement: code that runs for the first time is slow,
/// most of all where it is translated, so what is read first does not count.
pub(crate) fn first_sample(read: &impl Fn() -> u32) -> Sample {
    sample(read);
    sample(read)
}

/// Takes a sample.
#[inline(never)]
pub(crate) fn sample(read: &impl Fn() -> u32) -> Sample {
    let mut best = (u64::MAX, Sample { count: 0, tsc: 0 });
    for _ in 0..READINGS {
        let before = cpu::read_tsc_ordered();
        let count = read();
        let took = cpu::read_tsc_ordered().wrapping_sub(before);
        if took < best.0 {
            best = (
                took,
                Sample {
                    count,
                    tsc: before.wrapping_add(took / 2),
                },
            );
        }
    }
    best.1
}

/// A counter that counts up at a known rate.
pub(crate) struct Ruler<R: Fn() -> u32> {
    pub(crate) read: R,
    /// All bits that it has.
    pub(crate) mask: u32,
    pub(crate) frequency_hz: u64,
}

/// A counter that shows the same so often in a row does not count.
const MAX_UNCHANGED: u32 = 2000;

impl<R: Fn() -> u32> Ruler<R> {
    /// The time-stamp counter's rate in kHz, or `None` if this counter does not count. Takes 1 ms,
    /// for an error below 0.1 percent.
    pub(crate) fn tsc_khz(&self) -> Option<u64> {
        let window = (self.frequency_hz / 1000) as u32;
        let since = |start: u32, now: u32| now.wrapping_sub(start) & self.mask;
        let start = first_sample(&self.read);
        let (mut last, mut unchanged) = (start.count, 0);
        // Ends: the counter changes at least once in `MAX_UNCHANGED` readings, or we give up; and
        // one that runs back or jumps is past the window at once.
        while since(start.count, last) < window {
            let count = (self.read)();
            unchanged = if count == last { unchanged + 1 } else { 0 };
            if unchanged == MAX_UNCHANGED {
                return None;
            }
            last = count;
        }
        let end = sample(&self.read);
        let ticks = u128::from(since(start.count, end.count)).max(1);
        let cycles = u128::from(end.tsc.wrapping_sub(start.tsc));
        let khz = cycles * u128::from(self.frequency_hz) / ticks / 1000;
        u64::try_from(khz).ok().filter(|&khz| khz != 0)
    }
}
