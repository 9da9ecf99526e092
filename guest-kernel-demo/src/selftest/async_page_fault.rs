//! Async page faults, which KVM announces by interrupt.

use pvops_core::{bring_up_cpu, cpu, irq, take_down_cpu};

use super::Outcome;
use super::apic::wait_for;
use super::tasks;
use crate::cpus;
use crate::text::{ensure, text};
use crate::trap::{self, PAGE_READY_VECTOR};

/// The host knows vector and record of this CPU, forgets the record when the CPU is taken down, and
/// when it comes back says that all pages are there, by the interrupt.
pub(super) fn registers() -> Outcome {
    const ROUNDS: u64 = 20;
    /// MSR_KVM_ASYNC_PF_EN and MSR_KVM_ASYNC_PF_INT.
    const ENABLE: u32 = 0x4b56_4d02;
    const VECTOR: u32 = 0x4b56_4d06;
    /// For programs only, announced by interrupt.
    const FLAGS: u64 = 0b1001;
    // SAFETY: the feature says that the registers exist.
    let read = || unsafe { (cpu::read_msr(ENABLE), cpu::read_msr(VECTOR)) };
    let (enable, vector) = read();
    ensure!(
        enable % 64 == FLAGS && enable != FLAGS && vector == u64::from(PAGE_READY_VECTOR),
        "{enable:#x}, vector {vector:#x}"
    );
    for round in 1..=ROUNDS {
        let (before, down, up) = irq::without(|| {
            // SAFETY: interrupts are off, in no handler, and nobody sends this CPU any meanwhile.
            unsafe { take_down_cpu() };
            let (before, down) = (trap::count(PAGE_READY_VECTOR), read().0);
            // SAFETY: as above.
            (before, down, unsafe { bring_up_cpu() }.map(|()| read()))
        });
        ensure!(
            down == 0 && up == Ok((enable, vector)),
            "{down:#x}, then {up:?}"
        );
        ensure!(
            wait_for(PAGE_READY_VECTOR, before + 1),
            "in round {round} the host does not say that all pages are there"
        );
    }
    Ok(text!("{ROUNDS} times off and on"))
}

/// Programs on all CPUs get on while the host fetches their pages.
pub(super) fn fetched_pages() -> Outcome {
    const PAGES: u64 = 3;
    const ROUNDS: u64 = 100;
    let announced = || -> u64 {
        (0..cpus::count())
            .map(|cpu| trap::count_on(cpu, PAGE_READY_VECTOR))
            .sum()
    };
    let before = (trap::fetched_pages(), announced());
    for round in 1..=ROUNDS {
        tasks::on_all_cpus()?;
        let waited = trap::fetched_pages() - before.0;
        if waited >= PAGES {
            return Ok(text!(
                "programs have waited for {waited} pages, {} announcements, {round} rounds",
                announced() - before.1
            ));
        }
    }
    Err(text!(
        "programs have waited for {} pages in {ROUNDS} rounds",
        trap::fetched_pages() - before.0
    ))
}
