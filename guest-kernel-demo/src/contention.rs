//! A lock that all CPUs want, and each holds for so long that those who wait for it sleep, where the host
//! lets them.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_core::lock::Mutex;
use pvops_core::{irq, time};

use crate::cpus;
use crate::platform::Platform;
use crate::work::{begin, finish};

/// A lock.
pub(crate) trait Lock {
    /// Runs `body` under the lock.
    fn hold(body: impl FnOnce());
}

/// The library's.
pub(crate) struct Ours;

impl Lock for Ours {
    fn hold(body: impl FnOnce()) {
        static MUTEX: Mutex<Platform, ()> = Mutex::new(());
        let _guard = MUTEX.lock();
        body();
    }
}

/// One whose waiters can only spin: each takes a ticket, and waits until it is served.
pub(crate) struct Ticket;

impl Lock for Ticket {
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

/// How it went.
pub(crate) struct Holds {
    /// How often the lock was held, as counted under it.
    pub(crate) counted: u64,
    /// How often CPUs say that they have held it.
    pub(crate) expected: u64,
    /// How many others had it during the longest wait: a fair lock lets each pass once, and those that came
    /// while the host did not let a CPU ask.
    pub(crate) longest_wait: u64,
}

/// All CPUs take the lock for a while, so many times each, with interrupts off and on. The error is a CPU
/// that is gone. One caller at a time.
pub(crate) fn by_all_cpus<L: Lock>(rounds: usize) -> Result<Holds, usize> {
    COUNTED.store(0, Ordering::Relaxed);
    LONGEST_WAIT.store(0, Ordering::Relaxed);
    (1..cpus::count()).for_each(|cpu| begin(cpu, hold_again_and_again::<L>, rounds));
    let mut expected = hold_again_and_again::<L>(rounds);
    for cpu in 1..cpus::count() {
        expected += finish(cpu).ok_or(cpu)?;
    }
    Ok(Holds {
        counted: COUNTED.load(Ordering::Relaxed),
        expected,
        longest_wait: LONGEST_WAIT.load(Ordering::Relaxed),
    })
}

/// Long enough for others to fall asleep.
const HELD_NS: u64 = 200_000;
static COUNTED: AtomicU64 = AtomicU64::new(0);
static LONGEST_WAIT: AtomicU64 = AtomicU64::new(0);

fn hold_again_and_again<L: Lock>(rounds: usize) -> u64 {
    let hold = || {
        let asked = COUNTED.load(Ordering::Relaxed);
        L::hold(|| {
            let start = time::clock_ns();
            let before = COUNTED.load(Ordering::Relaxed);
            while time::clock_ns() - start < HELD_NS {}
            // Not one operation: without the lock, holds would be lost.
            COUNTED.store(before + 1, Ordering::Relaxed);
            LONGEST_WAIT.fetch_max(before - asked, Ordering::Relaxed);
        });
    };
    for round in 0..rounds {
        if round % 2 == 0 {
            irq::without(hold);
        } else {
            hold();
        }
    }
    rounds as u64
}
