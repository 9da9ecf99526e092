//! Interrupts to all other CPUs, and nothing else: what sending them costs is for the host to count.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pvops_core::cpu_set::CpuSet;
use pvops_core::{irq, smp, time};

use super::Outcome;
use super::apic::wait_for;
use crate::cpus;
use crate::text::{ensure, text};
use crate::trap::{self, SELF_VECTOR};
use crate::work::{begin, finish};

/// A set of all other CPUs is sent interrupts, which they take when all are sent: so they leave the
/// kernel for none, and all that the host hears of is the sending.
pub(super) fn to_all_others() -> Outcome {
    const ROUNDS: u32 = 500;
    const PATIENCE_NS: u64 = 10_000_000_000;
    static DEAF: AtomicUsize = AtomicUsize::new(0);
    static SENT: AtomicBool = AtomicBool::new(false);
    /// How many interrupts came; those that wait for the same CPU are one.
    fn take(_: usize) -> u64 {
        let before = trap::count(SELF_VECTOR);
        irq::without(|| {
            DEAF.fetch_add(1, Ordering::Release);
            while !SENT.load(Ordering::Acquire) {
                spin_loop();
            }
        });
        wait_for(SELF_VECTOR, before + 1);
        trap::count(SELF_VECTOR) - before
    }
    let others: CpuSet = (1..cpus::count()).collect();
    others.iter().for_each(|cpu| begin(cpu, take, 0));
    let start = time::clock_ns();
    while DEAF.load(Ordering::Acquire) < cpus::count() - 1 {
        let late = time::clock_ns() - start > PATIENCE_NS;
        ensure!(!late, "a CPU does not run");
    }
    for _ in 0..ROUNDS {
        // SAFETY: all CPUs of the set are online, and the vector has a handler.
        unsafe { smp::send_ipi_set(&raw const others, SELF_VECTOR) };
    }
    SENT.store(true, Ordering::Release);
    for cpu in others.iter() {
        let came = finish(cpu);
        ensure!(came > Some(0), "{came:?} interrupts came to CPU {cpu}");
    }
    Ok(text!("{ROUNDS} to {} CPUs", cpus::count() - 1))
}
