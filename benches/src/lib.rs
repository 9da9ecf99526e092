//! How a kernel measures what a piece of its work costs.
//!
//! The method is that of kvm-unit-tests' `vmexit`: the work is repeated twice as often until it takes
//! long enough to be told from the loop around it. Then the whole is repeated for a distribution. What
//! an empty loop costs is subtracted, and said.
//!
//! ```
//! use core::hint::black_box;
//! # use core::sync::atomic::{AtomicU64, Ordering};
//! # fn read_counter() -> u64 { static TICKS: AtomicU64 = AtomicU64::new(0); TICKS.fetch_add(1, Ordering::Relaxed) }
//! use pvops_benches::Method;
//!
//! let method = Method { counter: read_counter, goal_ticks: 0 };
//! let figure = method.measure(|_| { black_box(6 * 7); });
//! assert!(figure.min <= figure.median && figure.median <= figure.p99);
//! ```
//!
//! No allocation and no floating point; on the stack about 900 bytes.
#![no_std]

use core::hint::black_box;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Method<C> {
    /// Reads a counter that does not go back: the CPU's time-stamp counter.
    pub counter: C,
    /// How many ticks a sample has to take at least.
    pub goal_ticks: u64,
}

/// What a number of rounds costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Rounds in a sample. The other figures are ticks of a whole sample: divide them by this.
    pub rounds: u64,
    /// The cheapest sample.
    pub min: u64,
    /// Half of the samples cost at most this.
    pub median: u64,
    /// 99 of 100 samples cost at most this; of fewer than 100 samples it is the dearest.
    pub p99: u64,
    /// Number of samples.
    pub n: usize,
    /// What the empty loop costs, which has been subtracted from each sample.
    pub overhead: u64,
}

/// Samples that [`Method::measure`] takes: the fewest of which one is the median, with as many below as above,
/// and the 99th percentile is not the dearest.
const SAMPLES: usize = 101;
/// Samples of the empty loop, the cheapest of which counts.
const EMPTY_SAMPLES: usize = 7;
/// Where doubling ends, whatever the counter says.
const MAX_ROUNDS: u32 = 1 << 24;

impl<C: Fn() -> u64> Method<C> {
    /// Runs `body`, with the number of the round in the sample, as often as it takes.
    pub fn measure(&self, mut body: impl FnMut(u64)) -> Figure {
        let mut samples = [0; SAMPLES];
        let (mut rounds, mut taken) = (1, 0);
        // One loop for both, so that the body is inlined once.
        while taken < SAMPLES {
            let cost = self.sample(rounds, &mut body);
            if taken == 0 && cost < self.goal_ticks && rounds < MAX_ROUNDS {
                rounds *= 2;
            } else {
                samples[taken] = cost;
                taken += 1;
            }
        }
        let overhead = self.overhead(rounds);
        samples
            .iter_mut()
            .for_each(|sample| *sample = sample.saturating_sub(overhead));
        Figure::of(rounds.into(), overhead, &mut samples)
    }

    /// Ticks of the empty loop.
    #[inline(never)]
    fn overhead(&self, rounds: u32) -> u64 {
        let empty = [(); EMPTY_SAMPLES].map(|()| self.sample(rounds, |_| ()));
        empty.into_iter().min().unwrap_or(0)
    }

    /// Ticks that `rounds` rounds take, with the loop around them.
    #[inline(always)]
    fn sample(&self, rounds: u32, mut body: impl FnMut(u64)) -> u64 {
        let start = (self.counter)();
        for round in 0..rounds {
            body(round.into());
            black_box(());
        }
        (self.counter)().saturating_sub(start)
    }
}

impl Figure {
    /// The figure of samples that were taken in another way, each of `rounds` rounds, and with `overhead`
    /// subtracted already. It sorts them. That there is none does not compile:
    ///
    /// ```compile_fail,E0080
    /// pvops_benches::Figure::of(1, 0, &mut []);
    /// ```
    pub fn of<const SAMPLES: usize>(
        rounds: u64,
        overhead: u64,
        samples: &mut [u64; SAMPLES],
    ) -> Self {
        const { assert!(SAMPLES > 0) };
        Self::of_some(rounds, overhead, samples)
    }

    /// Of at least one sample.
    #[inline(never)]
    fn of_some(rounds: u64, overhead: u64, samples: &mut [u64]) -> Self {
        samples.sort_unstable();
        let n = samples.len();
        // The nearest rank: the smallest sample that so many percent are not above.
        let percentile = |percent: usize| samples[(n * percent).div_ceil(100) - 1];
        Self {
            rounds,
            min: samples[0],
            median: percentile(50),
            p99: percentile(99),
            n,
            overhead,
        }
    }
}
