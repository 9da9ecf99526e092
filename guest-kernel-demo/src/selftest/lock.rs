//! A lock that all CPUs want.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::lock::Mutex;
use pvops_core::{smp, time};

use super::{Outcome, long_or};
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

/// All CPUs hold a lock for so long that those who wait for it sleep, where the host lets them; no
/// wake-up is lost, with interrupts on or off.
pub(super) fn held() -> Outcome {
    const HELD_NS: u64 = 200_000;
    static COUNTER: Mutex<Platform, u64> = Mutex::new(0);
    fn count(rounds: usize) -> u64 {
        let hold = || {
            let mut counter = COUNTER.lock();
            let start = time::clock_ns();
            while time::clock_ns() - start < HELD_NS {}
            *counter += 1;
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
    *COUNTER.lock() = 0;
    let start = time::clock_ns();
    (1..cpus::count()).for_each(|cpu| begin(cpu, count, rounds));
    let mut expected = count(rounds);
    for cpu in 1..cpus::count() {
        let Some(more) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        expected += more;
    }
    let took_ns = time::clock_ns() - start;
    let counted = *COUNTER.lock();
    ensure!(counted == expected, "{counted} of {expected}");
    Ok(text!(
        "{counted} on {} CPUs, {} us each",
        cpus::count(),
        took_ns / 1000 / counted
    ))
}
