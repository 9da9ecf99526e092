//! CPUs that take turns, each waiting for the one before it: `ple_round_robin` of kvm-unit-tests' `vmexit`.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::{Kernel, irq, lock};

use super::{Bench, Work, tsc};
use crate::cpus;
use crate::platform::Platform;
use crate::work::{begin, finish};

/// Turns of each CPU in a sample: where CPUs share one, a turn can take milliseconds.
const ROUNDS: usize = 10;

/// A round of all CPUs that wait by PAUSE, as in `vmexit`, and of ones that sleep and are kicked.
pub(super) fn run(bench: &Bench<'_>) {
    const SAMPLES: usize = 1;
    let work = |way| Work::new("exit", "ple_round_robin", way);
    bench.take::<SAMPLES>(work("instruction"), ROUNDS as u64, 0, || by_all(spinning));
    bench.take::<SAMPLES>(work("op"), ROUNDS as u64, 0, || by_all(sleeping));
}

/// Turns taken so far.
static TURN: AtomicU32 = AtomicU32::new(0);

fn by_all(take_turns: fn(usize) -> u64) -> Option<u64> {
    TURN.store(0, Ordering::Relaxed);
    let start = tsc();
    (1..cpus::count()).for_each(|cpu| begin(cpu, take_turns, ROUNDS));
    take_turns(ROUNDS);
    for cpu in 1..cpus::count() {
        finish(cpu)?;
    }
    Some(tsc() - start)
}

fn spinning(rounds: usize) -> u64 {
    take_turns(rounds, |_| spin_loop(), |_| ())
}

fn sleeping(rounds: usize) -> u64 {
    irq::without(|| {
        take_turns(
            rounds,
            // SAFETY: the word is static.
            |seen| unsafe { lock::wait(TURN.as_ptr(), seen) },
            lock::kick,
        )
    })
}

/// `wait` is called as long as the turn is another's, with what was seen; `pass_on` with the next CPU.
#[inline(always)]
fn take_turns(rounds: usize, wait: impl Fn(u32), pass_on: impl Fn(usize)) -> u64 {
    let (this, count) = (Platform.cpu_index(), cpus::count());
    for round in 0..rounds {
        let mine = (round * count + this) as u32;
        loop {
            let turn = TURN.load(Ordering::Acquire);
            if turn == mine {
                break;
            }
            wait(turn);
        }
        TURN.store(mine + 1, Ordering::Release);
        pass_on((this + 1) % count);
    }
    rounds as u64
}
