//! Reading a device's counter and the time-stamp counter as if at once, to learn the rate of one
//! from the other.

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
pub(crate) fn first_sample(read: impl Fn() -> u32) -> Sample {
    sample(&read);
    sample(&read)
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
