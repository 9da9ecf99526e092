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

/// Measures until both halves of a measurement give the same rate, and gives that of the whole: a host
/// that stops this CPU in the middle may let one of the counters go on and not the other.
///
/// `measure` takes samples at the beginning, in the middle and at the end. If no measurement is good, the
/// one whose halves are the least apart counts.
pub(crate) fn rate_of_both_halves(
    measure: impl Fn() -> Option<[Sample; 3]>,
    rate: impl Fn(&Sample, &Sample) -> u64,
) -> Option<u64> {
    const MEASUREMENTS: u32 = 8;
    /// Of the rate: 0.4 percent, more than a sample in the middle can be wrong.
    const PART: u64 = 256;
    let mut best = (u64::MAX, 0);
    for _ in 0..MEASUREMENTS {
        let [start, middle, end] = measure()?;
        let whole = rate(&start, &end);
        let apart = rate(&start, &middle).abs_diff(rate(&middle, &end));
        best = best.min((apart, whole));
        if apart <= whole / PART {
            break;
        }
    }
    Some(best.1)
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
    /// for an error below 0.1 percent; more if it is interrupted.
    pub(crate) fn tsc_khz(&self) -> Option<u64> {
        let half = (self.frequency_hz / 2000) as u32;
        let measure = || {
            let start = first_sample(&self.read);
            let middle = self.sample_after(start.count, half)?;
            let end = self.sample_after(middle.count, half)?;
            Some([start, middle, end])
        };
        let khz = |start: &Sample, end: &Sample| {
            let ticks = u128::from(self.since(start.count, end.count)).max(1);
            let cycles = u128::from(end.tsc.wrapping_sub(start.tsc));
            let khz = cycles * u128::from(self.frequency_hz) / ticks / 1000;
            u64::try_from(khz).unwrap_or(0)
        };
        rate_of_both_halves(measure, khz).filter(|&khz| khz != 0)
    }

    /// Takes a sample once the counter is that much further; `None` if it does not count.
    fn sample_after(&self, start: u32, ticks: u32) -> Option<Sample> {
        let (mut last, mut unchanged) = (start, 0);
        // Ends: the counter changes at least once in `MAX_UNCHANGED` readings, or we give up; and
        // one that runs back or jumps is past the window at once.
        while self.since(start, last) < ticks {
            let count = (self.read)();
            unchanged = if count == last { unchanged + 1 } else { 0 };
            if unchanged == MAX_UNCHANGED {
                return None;
            }
            last = count;
        }
        Some(sample(&self.read))
    }

    fn since(&self, start: u32, now: u32) -> u32 {
        now.wrapping_sub(start) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Ticks for cycles, with the ticks that a stop of this many cycles costs in one measurement.
    fn measured(stops: [u64; 3]) -> u64 {
        let number = Cell::new(0);
        let measure = || {
            let stop = stops[number.get().min(2)];
            number.set(number.get() + 1);
            Some(
                [(0, 0), (500, 5000), (1000, 10_000 + stop)]
                    .map(|(count, tsc)| Sample { count, tsc }),
            )
        };
        let rate = |start: &Sample, end: &Sample| {
            (end.tsc - start.tsc) / u64::from(end.count - start.count)
        };
        rate_of_both_halves(measure, rate).unwrap()
    }

    #[test]
    fn a_stop_in_one_half_does_not_count() {
        assert_eq!(measured([0, 0, 0]), 10);
        assert_eq!(measured([20_000, 0, 0]), 10);
        assert_eq!(measured([20_000, 90_000, 0]), 10);
    }

    #[test]
    fn of_bad_measurements_the_best_counts() {
        assert_eq!(measured([90_000, 20_000, 90_000]), 30);
    }
}
