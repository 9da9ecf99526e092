//! Interrupts to a set of CPUs: by one hypercall for up to 128 of them (64 from 32-bit code), and with a
//! word to the host about which CPU the sender waits for.
//!
//! An interrupt to one CPU, and to all others, is one write of the local APIC's command register,
//! so one exit at most: those are left to the hardware.

mod window;

use pvops_backend_native as native;
use pvops_core::cpu_set::CpuSet;
use pvops_core::{lock, smp};

use crate::features::Features;
use crate::hypercall::{HypercallError, HypercallNumber, hypercall};
use window::{Window, windows};

/// The op `smp.send_ipi_set`, with what the host offers of PV IPI and yielding.
pub(crate) unsafe extern "C" fn send_ipi_set(cpus: *const CpuSet, vector: u8) {
    // SAFETY: the op's caller gives a set.
    let cpus = unsafe { *cpus };
    let features = Features::in_use();
    // SAFETY: the op's caller says that the CPUs have a handler for the vector.
    unsafe {
        if features.contains(Features::PV_SEND_IPI) {
            send_by_windows(&cpus, vector);
        } else {
            send_one_by_one(&cpus, vector);
        }
    }
    if features.contains(Features::PV_SCHED_YIELD) {
        yield_to_preempted(&cpus);
    }
}

/// # Safety
///
/// The CPUs must have a handler for the vector.
unsafe fn send_by_windows(cpus: &CpuSet, vector: u8) {
    for window in windows(cpus.iter().filter_map(native::apic_id)) {
        // The command register does it in one exit as well, or in none.
        if window.is_single() || send(window, vector).is_err() {
            let in_window =
                |&cpu: &usize| native::apic_id(cpu).is_some_and(|id| window.contains(id));
            // SAFETY: the caller vouches for the CPUs.
            unsafe { send_one_by_one(&cpus.iter().filter(in_window).collect(), vector) };
        }
    }
}

/// # Safety
///
/// As above.
unsafe fn send_one_by_one(cpus: &CpuSet, vector: u8) {
    // SAFETY: the caller vouches for the CPUs.
    cpus.iter()
        .for_each(|cpu| unsafe { smp::send_ipi(cpu, vector) });
}

fn send(window: Window, vector: u8) -> Result<u64, HypercallError> {
    /// Of the interrupt command: delivery mode "fixed". Intel SDM volume 3, figure 12-12.
    const FIXED: u64 = 0;
    let (low, high) = (window.bits as usize, (window.bits >> usize::BITS) as usize);
    let command = FIXED | u64::from(vector);
    let arguments = [low as u64, high as u64, u64::from(window.first), command];
    // SAFETY: the CPUs are ready for the interrupt, as the op's caller says.
    unsafe { hypercall(HypercallNumber::SEND_IPI, arguments) }
}

/// Who sends to a set mostly waits for all of it. So lets the first CPU of the set run that the host
/// has preempted, on this one's time.
fn yield_to_preempted(cpus: &CpuSet) {
    let preempted = cpus.iter().find(|&cpu| lock::vcpu_is_preempted(cpu));
    if let Some(id) = preempted.and_then(native::apic_id) {
        // SAFETY: it touches no memory. Whether the host did it makes no difference here.
        let _ = unsafe { hypercall(HypercallNumber::SCHED_YIELD, [u64::from(id)]) };
    }
}
