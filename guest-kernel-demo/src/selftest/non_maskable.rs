//! Non-maskable interrupts: Xen's part in PV guests, in PVH and HVM guests the CPU's.

use pvops_core::{apic, irq};

use super::Outcome;
use super::apic::{wait_for, wait_until};
use crate::text::{ensure, text};
use crate::trap::{self, NON_MASKABLE};
use crate::work::{begin, finish};
use crate::{cpus, per_cpu};

/// A non-maskable interrupt comes to this CPU though interrupts are off, and leaves them off; and to each
/// other CPU.
pub(super) fn to_each_cpu() -> Outcome {
    /// Interrupt command: deliver a non-maskable interrupt, level assert. Intel SDM volume 3, figure 12-12.
    const COMMAND: u64 = 0b100 << 8 | 1 << 14;
    const ROUNDS: u64 = 20;
    const VECTOR: u8 = NON_MASKABLE as u8;
    const INTERRUPT_FLAG: usize = 1 << 9;
    let send = |cpu: usize| {
        let id = per_cpu::of(cpu)
            .apic_id
            .load(core::sync::atomic::Ordering::Relaxed);
        // SAFETY: the vector has a handler.
        unsafe { apic::write_icr(u64::from(id) << 32 | COMMAND) };
    };
    let before = trap::count(VECTOR);
    for round in 1..=ROUNDS {
        let (came, is_off) = irq::without(|| {
            send(per_cpu::index());
            let came = wait_for(VECTOR, before + round);
            (came, irq::save_flags() & INTERRUPT_FLAG == 0)
        });
        ensure!(came, "number {round} did not come");
        ensure!(is_off, "number {round} left interrupts on");
    }
    for cpu in 1..cpus::count() {
        let before = trap::count_on(cpu, VECTOR);
        // Xen may put a CPU to sleep with one that has come just then, so this one stays awake.
        let awake = |until| u64::from(wait_for(VECTOR, until as u64));
        begin(cpu, awake, (before + ROUNDS) as usize);
        for round in 1..=ROUNDS {
            send(cpu);
            ensure!(
                wait_until(|| trap::count_on(cpu, VECTOR) >= before + round),
                "number {round} did not come to CPU {cpu}"
            );
        }
        ensure!(finish(cpu) == Some(1), "CPU {cpu} has not seen all");
    }
    Ok(text!("{ROUNDS} to each of {} CPUs", cpus::count()))
}
