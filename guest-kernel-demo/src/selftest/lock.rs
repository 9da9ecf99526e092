//! A lock that all CPUs want.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_core::lock::Mutex;
use pvops_core::{irq, lock, smp, time};

use super::{Outcome, long_or};
use crate::console::report;
use crate::contention::{Holds, Lock, Ours, Ticket, by_all_cpus};
use crate::platform::Platform;
use crate::text::{ensure, text};
use crate::trap::SELF_VECTOR;
use crate::work::{begin, finish};
use crate::{cpus, per_cpu};

/// All CPUs count under one lock, and interrupt each other meanwhile; none is lost, and none waits
/// for ever.
pub(super) fn contended() -> Outcome {
    const PER_INTERRUPT: u64 = 16;
    static COUNTER: Mutex<Platform, u64> = Mutex::new(0);
    static LONGEST_WAIT_NS: AtomicU64 = AtomicU64::new(0);
    fn count(rounds: usize) -> u64 {
        let next = (per_cpu::index() + 1) % cpus::count();
        for round in 0..rounds as u64 {
            // With interrupts off a fair lock is handed on without delay.
            let waited = irq::without(|| {
                let start = time::clock_ns();
                let mut counter = COUNTER.lock();
                let waited = time::clock_ns() - start;
                *counter += 1;
                waited
            });
            LONGEST_WAIT_NS.fetch_max(waited, Ordering::Relaxed);
            if round % PER_INTERRUPT == 0 {
                // SAFETY: the CPU is online, and the vector has a handler.
                unsafe { smp::send_ipi(next, SELF_VECTOR) };
            }
        }
        rounds as u64
    }
    let rounds = long_or(1_000_000, 1000);
    *COUNTER.lock() = 0;
    LONGEST_WAIT_NS.store(0, Ordering::Relaxed);
    (1..cpus::count()).for_each(|cpu| begin(cpu, count, rounds as usize));
    let mut expected = count(rounds as usize);
    for cpu in 1..cpus::count() {
        let Some(more) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        expected += more;
    }
    let counted = *COUNTER.lock();
    ensure!(counted == expected, "{counted} of {expected}");
    Ok(text!(
        "{counted} on {} CPUs, the longest wait {} us",
        cpus::count(),
        LONGEST_WAIT_NS.load(Ordering::Relaxed) / 1000
    ))
}

/// A CPU that waits sleeps, and is kicked awake, with interrupts off and on. Where waiters sleep.
pub(super) fn woken() -> Outcome {
    const ROUNDS: u32 = 100;
    /// One that stays awake looks thousands of times; one that sleeps is woken by interrupts, too.
    const MOST_WAITS: u64 = 50 * ROUNDS as u64;
    static WORD: AtomicU32 = AtomicU32::new(0);
    static ANSWER: AtomicU32 = AtomicU32::new(0);
    static WAITS: AtomicU64 = AtomicU64::new(0);
    /// Waits until the word has been each of the numbers up to `ROUNDS`.
    fn follow(_: usize) -> u64 {
        for seen in 0..ROUNDS {
            while WORD.load(Ordering::Acquire) == seen {
                // SAFETY: the word is static.
                let wait = || unsafe { lock::wait(WORD.as_ptr(), seen) };
                WAITS.fetch_add(1, Ordering::Relaxed);
                if seen % 2 == 0 {
                    irq::without(wait);
                } else {
                    wait();
                }
            }
            ANSWER.store(seen + 1, Ordering::Release);
        }
        u64::from(ROUNDS)
    }

    WORD.store(0, Ordering::Relaxed);
    ANSWER.store(0, Ordering::Relaxed);
    WAITS.store(0, Ordering::Relaxed);
    begin(1, follow, 0);
    for round in 0..ROUNDS {
        let start = time::clock_ns();
        // Long enough for the other CPU to sleep, mostly.
        while time::clock_ns() - start < 1_000_000 {}
        WORD.store(round + 1, Ordering::Release);
        lock::kick(1);
        while ANSWER.load(Ordering::Acquire) != round + 1 {
            let late = time::clock_ns() - start > 10_000_000_000;
            ensure!(!late, "kick {round} woke nobody");
        }
    }
    let followed = finish(1);
    ensure!(
        followed == Some(u64::from(ROUNDS)),
        "CPU 1 did {followed:?}"
    );
    let waits = WAITS.load(Ordering::Relaxed);
    ensure!(waits < MOST_WAITS, "CPU 1 waited {waits} times");
    Ok(text!("{ROUNDS} kicks of a CPU that waited {waits} times"))
}

/// All CPUs hold a lock for so long that those who wait for it sleep, where the host lets them; no
/// wake-up is lost, with interrupts on or off.
pub(super) fn held() -> Outcome {
    all_hold::<Ours>()
}

/// The same with a lock whose waiters can only spin.
pub(super) fn held_ticket() -> Outcome {
    all_hold::<Ticket>()
}

fn all_hold<L: Lock>() -> Outcome {
    let start = time::clock_ns();
    let holds =
        by_all_cpus::<L>(long_or(2000, 25) as usize).map_err(|cpu| text!("CPU {cpu} is gone"))?;
    let took_ns = time::clock_ns() - start;
    let Holds {
        counted,
        expected,
        longest_wait,
    } = holds;
    ensure!(counted == expected, "{counted} of {expected}");
    report!("\"event\":\"measure\",\"name\":\"longest_wait\",\"count\":{longest_wait}");
    Ok(text!(
        "{counted} on {} CPUs, {} us each, {longest_wait} in the longest wait",
        cpus::count(),
        took_ns / 1000 / counted
    ))
}
