//! A lock that all CPUs want.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_core::lock::Mutex;
use pvops_core::{lock, smp, time};

use super::{Outcome, long_or};
use crate::console::report;
use crate::platform::Platform;
use crate::text::{ensure, text};
use crate::trap::SELF_VECTOR;
use crate::work::{begin, finish};
use crate::{cpus, interrupts, per_cpu};

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
            let waited = interrupts::without(|| {
                let start = time::clock_ns();
                let mut counter = COUNTER.lock();
                let waited = time::clock_ns() - start;
                *counter += 1;
                waited
            });
            LONGEST_WAIT_NS.fetch_max(waited, Ordering::Relaxed);
            if round % PER_INTERRUPT == 0 {
                // SAFETY: the CPU is online, and the vector has a handler.
                unsafe { smp::send_ipi(next as u32, u32::from(SELF_VECTOR)) };
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
                    interrupts::without(wait);
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
    struct Ours;
    impl Holding for Ours {
        fn hold(body: impl FnOnce()) {
            static MUTEX: Mutex<Platform, ()> = Mutex::new(());
            let _guard = MUTEX.lock();
            body();
        }
    }
    all_hold::<Ours>()
}

/// The same with a lock whose waiters can only spin: one takes a ticket, and waits until it is served.
pub(super) fn held_ticket() -> Outcome {
    struct Ticket;
    impl Holding for Ticket {
        fn hold(body: impl FnOnce()) {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            static SERVED: AtomicU32 = AtomicU32::new(0);
            let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
            while SERVED.load(Ordering::Acquire) != ticket {
                spin_loop();
            }
            body();
            SERVED.store(ticket.wrapping_add(1), Ordering::Release);
        }
    }
    all_hold::<Ticket>()
}

/// A lock.
trait Holding {
    /// Runs `body` under the lock.
    fn hold(body: impl FnOnce());
}

/// All CPUs take the lock for a while, again and again. Tells how many others had it during the longest
/// wait: a fair lock lets each pass once, and those that came while the host did not let a CPU ask.
fn all_hold<L: Holding>() -> Outcome {
    const HELD_NS: u64 = 200_000;
    /// How often the lock was held.
    static HOLDS: AtomicU64 = AtomicU64::new(0);
    static LONGEST_WAIT: AtomicU64 = AtomicU64::new(0);
    fn count<L: Holding>(rounds: usize) -> u64 {
        let hold = || {
            let asked = HOLDS.load(Ordering::Relaxed);
            L::hold(|| {
                let start = time::clock_ns();
                let before = HOLDS.load(Ordering::Relaxed);
                while time::clock_ns() - start < HELD_NS {}
                // Not one operation: without the lock, holds would be lost.
                HOLDS.store(before + 1, Ordering::Relaxed);
                LONGEST_WAIT.fetch_max(before - asked, Ordering::Relaxed);
            });
        };
        for round in 0..rounds {
            if round % 2 == 0 {
                interrupts::without(hold);
            } else {
                hold();
            }
        }
        rounds as u64
    }
    let rounds = long_or(2000, 25) as usize;
    HOLDS.store(0, Ordering::Relaxed);
    LONGEST_WAIT.store(0, Ordering::Relaxed);
    let start = time::clock_ns();
    (1..cpus::count()).for_each(|cpu| begin(cpu, count::<L>, rounds));
    let mut expected = count::<L>(rounds);
    for cpu in 1..cpus::count() {
        let Some(more) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        expected += more;
    }
    let took_ns = time::clock_ns() - start;
    let counted = HOLDS.load(Ordering::Relaxed);
    ensure!(counted == expected, "{counted} of {expected}");
    let longest = LONGEST_WAIT.load(Ordering::Relaxed);
    report!("\"event\":\"measure\",\"name\":\"longest_wait\",\"count\":{longest}");
    Ok(text!(
        "{counted} on {} CPUs, {} us each, {longest} in the longest wait",
        cpus::count(),
        took_ns / 1000 / counted
    ))
}
