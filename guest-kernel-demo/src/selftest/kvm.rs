//! What KVM gives its guests.

use pvops_backend_kvm::saved_ends_of_interrupts;
use pvops_core::{Kernel, apic, lock, system, time};

use super::Outcome;
use super::apic::{send_self, wait_for};
use crate::platform::Platform;
use crate::text::{ensure, text};
use crate::trap::{self, SELF_VECTOR, WORK_VECTOR};
use crate::{cpus, interrupts};

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

/// Behind an interrupt that ends, the one that waits comes.
pub(super) fn end_of_interrupt() -> Outcome {
    const PAIRS: u64 = 50;
    let (first, second) = (trap::count(SELF_VECTOR), trap::count(WORK_VECTOR));
    for sent in 1..=PAIRS {
        interrupts::without(|| {
            send_self(SELF_VECTOR);
            send_self(WORK_VECTOR);
        });
        ensure!(
            wait_for(SELF_VECTOR, first + sent) && wait_for(WORK_VECTOR, second + sent),
            "of pair {sent} one did not come"
        );
    }
    ensure!(
        !is_in_service(SELF_VECTOR) && !is_in_service(WORK_VECTOR),
        "an interrupt is still in service"
    );
    Ok(text!("{PAIRS} pairs came"))
}

fn is_in_service(vector: u8) -> bool {
    /// First of the eight in-service registers. Intel SDM volume 3, table 12-6.
    const IN_SERVICE: u32 = 0x10;
    // SAFETY: the register exists.
    let word = unsafe { apic::read(IN_SERVICE + u32::from(vector) / 32) };
    word & 1 << (vector % 32) != 0
}

/// Of some interrupts' ends the host need not hear.
pub(super) fn saved_ends() -> Outcome {
    const COUNT: u64 = 100;
    let this = Platform.cpu_index();
    let saved_before = saved_ends_of_interrupts(this);
    let before = trap::count(SELF_VECTOR);
    for sent in 1..=COUNT {
        send_self(SELF_VECTOR);
        ensure!(
            wait_for(SELF_VECTOR, before + sent),
            "interrupt {sent} did not come"
        );
    }
    let saved = saved_ends_of_interrupts(this) - saved_before;
    ensure!(saved > 0, "the host heard of each of {COUNT}");
    Ok(text!("the host did not hear of {saved} of {COUNT}"))
}
