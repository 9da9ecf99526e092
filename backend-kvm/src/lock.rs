//! PV unhalt: a CPU that waits for a lock halts, and is woken by a hypercall.
//!
//! KVM remembers a kick of a CPU that does not halt and ends its next halt at once, so a CPU can be
//! kicked at all times. A halt with interrupts off is ended by a kick too.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_backend_native as native;
use pvops_core::binding::Binding;
use pvops_core::{irq, kernel, op, preserve};

use crate::hypercall::{HypercallNumber, hypercall};

pub(crate) const WAIT: Binding<op::lock::wait> = preserve!(lock::wait, wait);
pub(crate) const KICK: Binding<op::lock::kick> = preserve!(lock::kick, kick);

/// The op `lock.wait`.
unsafe extern "C" fn wait(word: *const u32, value: u32) {
    const INTERRUPTS_ON: usize = 1 << 9;
    // A CPU whose APIC id nobody knows is not kicked.
    if kernel().is_none_or(|kernel| native::apic_id(kernel.cpu_index()).is_none()) {
        return;
    }
    let on = irq::save_flags() & INTERRUPTS_ON != 0;
    irq::disable();
    // SAFETY: the op's caller says that the word is valid for atomic reads.
    let unchanged = unsafe { (*word.cast::<AtomicU32>()).load(Ordering::Relaxed) } == value;
    // SAFETY: interrupts are put back as they were.
    unsafe {
        match (on, unchanged) {
            (true, true) => irq::safe_halt(),
            (true, false) => irq::enable(),
            (false, true) => irq::halt(),
            (false, false) => {}
        }
    }
}

/// The op `lock.kick`. A hypercall orders all earlier stores, as every exit does.
unsafe extern "C" fn kick(cpu: usize) {
    const FLAGS: u64 = 0;
    if let Some(id) = native::apic_id(cpu) {
        // SAFETY: it wakes a virtual CPU, and touches no memory. A host that offers PV unhalt has the
        // call; if it fails there is nothing else that would wake the CPU.
        let _ = unsafe { hypercall(HypercallNumber::KICK_CPU, [FLAGS, u64::from(id)]) };
    }
}
