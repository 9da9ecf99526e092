//! The other CPUs: who they are, and interrupts to them.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use pvops_core::backend::{BindError, Host};
use pvops_core::binding::Binding;
use pvops_core::cpu_set::{CpuSet, MAX_CPUS};
use pvops_core::{apic, bindings, call, mmu};

use crate::apic::Apic;
use crate::{shootdown, start};

/// Without a local APIC there are no other CPUs.
pub(crate) const NONE: bindings::smp = bindings::smp {
    start_cpu: call!(smp::start_cpu, start::unavailable),
    send_ipi: Binding::unavailable(),
    send_ipi_set: Binding::unavailable(),
    send_ipi_others: Binding::unavailable(),
    setup_ipi: Binding::nothing(),
    handle_ipi: Binding::nothing(),
};

pub(crate) const APIC: bindings::smp = bindings::smp {
    start_cpu: call!(smp::start_cpu, start::start_cpu),
    send_ipi: call!(smp::send_ipi, send_ipi),
    send_ipi_set: call!(smp::send_ipi_set, send_ipi_set),
    send_ipi_others: call!(smp::send_ipi_others, send_ipi_others),
    setup_ipi: call!(smp::setup_ipi, shootdown::setup),
    handle_ipi: call!(smp::handle_ipi, shootdown::handle),
};

/// Turns this CPU's local APIC on and notes its id, if it has one. Drops the translations that the CPU has by
/// then.
///
/// # Errors
///
/// If the CPU's number is beyond what can be told apart.
pub(crate) fn bring_up(host: &Host<'_>) -> Result<(), BindError> {
    let apic = Apic::in_use();
    apic.turn_on();
    let id = APIC_IDS
        .get(host.kernel.cpu_index())
        .ok_or(BindError("this CPU's number is beyond MAX_CPUS"))?;
    id.store(apic.id().unwrap_or(NOBODY), Ordering::Relaxed);
    // Until now shootdowns passed this CPU over, while it ran on the kernel's tables. The pair of the
    // fence in a shootdown: either that finds the id, or the CPU finds the changed tables from here on.
    fence(Ordering::SeqCst);
    mmu::flush_tlb_all();
    Ok(())
}

/// Forgets this CPU: interrupts to it are sent no more.
pub(crate) fn take_down(host: &Host<'_>) {
    if let Some(id) = APIC_IDS.get(host.kernel.cpu_index()) {
        id.store(NOBODY, Ordering::Relaxed);
    }
}

/// The local APIC id of a CPU that was brought up, and not taken down since; `None` also if the machine has no
/// local APIC, or the kernel could not map it. Any context.
pub fn apic_id(cpu: usize) -> Option<u32> {
    let id = APIC_IDS.get(cpu)?.load(Ordering::Relaxed);
    (id != NOBODY).then_some(id)
}

const NOBODY: u32 = u32::MAX;

/// The local APIC's id of each CPU that was brought up.
static APIC_IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(NOBODY) }; MAX_CPUS];

/// Interrupt command: level "assert". Intel SDM volume 3, figure 12-12.
const ASSERT: u64 = 1 << 14;
/// Destination shorthand: all excluding self.
const OTHERS: u64 = 0b11 << 18;

unsafe extern "C" fn send_ipi(cpu: usize, vector: u8) {
    if let Some(id) = apic_id(cpu) {
        // SAFETY: the op's caller says that the CPU has a handler for the vector.
        unsafe { apic::write_icr(u64::from(id) << 32 | ASSERT | u64::from(vector)) };
    }
}

unsafe extern "C" fn send_ipi_set(cpus: *const CpuSet, vector: u8) {
    // SAFETY: the op's caller gives a set, of CPUs that have a handler for the vector.
    unsafe { (*cpus).iter().for_each(|cpu| send_ipi(cpu, vector)) };
}

unsafe extern "C" fn send_ipi_others(vector: u8) {
    // SAFETY: the op's caller says that all CPUs have a handler for the vector.
    unsafe { apic::write_icr(OTHERS | ASSERT | u64::from(vector)) };
}
