//! What KVM gives its guests.

use pvops_core::{Kernel, lock, system, time};

use super::Outcome;
use crate::cpus;
use crate::platform::Platform;
use crate::text::{ensure, text};

/// No CPU's stolen time goes back or is more than all time, and the CPU that asks runs.
pub(super) fn steal_time() -> Outcome {
    const ROUNDS: u32 = 1000;
    let this = Platform.cpu_index();
    let mut last = [0; crate::per_cpu::MAX_CPUS];
    let mut preempted = 0;
    for _ in 0..ROUNDS {
        for (cpu, last) in last.iter_mut().enumerate().take(cpus::count()) {
            let stolen = time::stolen_ns(cpu);
            ensure!(
                stolen >= *last,
                "CPU {cpu}: it went back from {last} to {stolen}"
            );
            let clock = time::clock_ns();
            ensure!(stolen < clock, "CPU {cpu}: {stolen} of {clock} ns");
            *last = stolen;
            preempted += u32::from(lock::vcpu_is_preempted(cpu as u32));
        }
        ensure!(
            !lock::vcpu_is_preempted(this as u32),
            "this CPU runs, and is said not to"
        );
        system::yield_cpu();
    }
    let all: u64 = last.iter().sum();
    ensure!(
        time::stolen_ns(cpus::count()) == 0 && !lock::vcpu_is_preempted(u32::MAX),
        "a CPU that does not exist has a record"
    );
    Ok(text!(
        "{all} ns stolen from {} CPUs, another was preempted at {preempted} looks",
        cpus::count()
    ))
}
