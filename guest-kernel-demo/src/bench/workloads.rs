//! Whole pieces of work.

use pvops_core::{irq, time};

use super::interrupts::until_came;
use super::{Bench, Work, tsc};
use crate::contention::{Lock, Ours, Ticket, by_all_cpus};
use crate::cpus;
use crate::trap::{self, TIMER_VECTOR};
use crate::work::{begin, finish};
use crate::workloads::{self, WORKLOADS};

/// Runs all. The first time costs more, and is not counted.
pub(super) fn run(bench: &Bench<'_>) {
    const SAMPLES: usize = 5;
    if WORKLOADS
        .iter()
        .any(|workload| bench.wants(of(workload.name, "")))
    {
        workloads::warm_up();
    }
    for workload in &WORKLOADS {
        bench.take::<SAMPLES>(of(workload.name, ""), workload.rounds, 0, workload.run);
    }
    let rounds = EVENTS * cpus::count() as u64;
    bench.take::<SAMPLES>(of("timer_storm", ""), rounds, 0, timer_storm);
    if cpus::count() > 1 {
        // Where a lock's holder does not run, a hold takes milliseconds.
        const SAMPLES: usize = 1;
        let rounds = (HOLDS * cpus::count()) as u64;
        let work = |way| of("contended_lock", way);
        bench.take::<SAMPLES>(work("ticket"), rounds, 0, contended_lock::<Ticket>);
        bench.take::<SAMPLES>(work("op"), rounds, 0, contended_lock::<Ours>);
    }
}

fn of<'a>(name: &'a str, way: &'a str) -> Work<'a> {
    Work::new("workload", name, way)
}

/// Events for each CPU.
const EVENTS: u64 = 1000;

/// All CPUs at once: one event after the other, each due at once.
fn timer_storm() -> Option<u64> {
    fn storm(_: usize) -> u64 {
        irq::without(|| {
            for _ in 0..EVENTS {
                let before = trap::count(TIMER_VECTOR);
                let _ = time::set_event(0);
                // SAFETY: all interrupts have handlers.
                unsafe { irq::enable() };
                until_came(TIMER_VECTOR, before);
                irq::disable();
            }
        });
        EVENTS
    }
    let start = tsc();
    (1..cpus::count()).for_each(|cpu| begin(cpu, storm, 0));
    storm(0);
    for cpu in 1..cpus::count() {
        finish(cpu)?;
    }
    Some(tsc() - start)
}

/// How often each CPU holds the lock: for longer than a host lets one CPU run before another.
const HOLDS: usize = 25;

fn contended_lock<L: Lock>() -> Option<u64> {
    let start = tsc();
    let holds = by_all_cpus::<L>(HOLDS).ok()?;
    assert_eq!(holds.counted, holds.expected, "the lock was held by two");
    Some(tsc() - start)
}
