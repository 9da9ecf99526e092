//! Ports of Xen that all CPUs bind and close at the same time.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_xen::event_channel::{self as events, Port};

use super::xen_events::comes;
use super::{Outcome, long_or};
use crate::cpus;
use crate::per_cpu::{self, MAX_CPUS};
use crate::text::{ensure, text};
use crate::work::{begin, finish};

/// Xen gives the number of a port that was closed to the next, whose handler stays.
pub(super) fn from_all_cpus() -> Outcome {
    let rounds = long_or(20_000, 2000);
    let others = 1..cpus::count();
    others
        .clone()
        .for_each(|cpu| begin(cpu, rebind, rounds as usize));
    let here = rebind(rounds as usize);
    for (cpu, fault) in others
        .map(|cpu| (cpu, finish(cpu)))
        .chain([(0, Some(here))])
    {
        ensure!(
            fault == Some(GOOD),
            "CPU {cpu}: {}",
            FAULTS[fault.unwrap_or(GONE) as usize]
        );
    }
    Ok(text!("{rounds} times on each of {} CPUs", cpus::count()))
}

const GOOD: u64 = 0;
const GONE: u64 = 4;
const FAULTS: [&str; 5] = [
    "good",
    "no port can be bound",
    "an event did not come",
    "a port can't be closed",
    "it is gone",
];

/// The number of a fault.
fn rebind(rounds: usize) -> u64 {
    let cpu = per_cpu::index();
    for _ in 0..rounds {
        let Ok(port) = events::bind_ipi(cpu, count) else {
            return 1;
        };
        let before = counted(cpu);
        if events::send(port).is_err() || !comes(|| counted(cpu) > before) {
            return 2;
        }
        if events::close(port).is_err() {
            return 3;
        }
    }
    GOOD
}

static COUNTS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

fn count(_: Port) {
    COUNTS[per_cpu::index()].fetch_add(1, Ordering::Relaxed);
}

fn counted(cpu: usize) -> u64 {
    COUNTS[cpu].load(Ordering::Relaxed)
}
