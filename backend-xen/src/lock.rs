//! Locks whose waiters sleep: each polls an event channel of its own, which never interrupts.
//!
//! SCHEDOP_poll of Xen's public/sched.h. An event that came before the call ends it at once, so a kick
//! can't be lost.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use pvops_core::binding::Binding;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::{Kernel, bindings, irq, kernel, lock, op, preserve};

use crate::clock::system_time_ns;
use crate::error::XenError;
use crate::event_channel::{self, Port};
use crate::poll::poll;
use crate::vcpu;

/// Lets waiters sleep, if there is anybody to wait for, and events can be had.
pub(crate) fn sleeping(bindings: bindings::lock) -> bindings::lock {
    if lock::are_waiters_kept_awake() || event_channel::lent_vector().is_none() || vcpu::count() < 2
    {
        return bindings;
    }
    bindings.with_sleep(WAIT, KICK)
}

/// Gives this CPU its port. Once it has been brought up.
pub(crate) fn bring_up(kernel: &dyn Kernel) -> Result<(), XenError> {
    let cpu = kernel.cpu_index();
    let port = PORTS.get(cpu).ok_or(XenError::TOO_BIG)?;
    if port.load(Ordering::Relaxed) == NONE && event_channel::is_on() {
        port.store(event_channel::bind_masked_ipi(cpu)?.0, Ordering::Release);
    }
    Ok(())
}

/// The ports are gone, with the place where the domain was.
pub(crate) fn forget_ports() {
    PORTS
        .iter()
        .for_each(|port| port.store(NONE, Ordering::Relaxed));
}

pub(crate) const WAIT: Binding<op::lock::wait> = preserve!(lock::wait, wait);
pub(crate) const KICK: Binding<op::lock::kick> = preserve!(lock::kick, kick);

const NONE: u32 = 0;
static PORTS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(NONE) }; MAX_CPUS];

/// The op `lock.wait`.
unsafe extern "C" fn wait(word: *const u32, value: u32) {
    const INTERRUPTS_ON: usize = 1 << 9;
    /// An interrupt ends the sleep, too; but not one that comes between the last look and the sleep.
    const WITH_INTERRUPTS_NS: u64 = 1_000_000;
    let Some(port) = kernel().and_then(|kernel| port_of(kernel.cpu_index())) else {
        return;
    };
    let flags = irq::save_flags();
    irq::disable();
    event_channel::clear_masked(port);
    // The kick may come from here on.
    fence(Ordering::SeqCst);
    // SAFETY: the op's caller says that the word is valid for atomic reads.
    let unchanged = unsafe { (*word.cast::<AtomicU32>()).load(Ordering::Relaxed) } == value;
    if unchanged {
        let deadline_ns = match flags & INTERRUPTS_ON {
            0 => 0,
            _ => system_time_ns().saturating_add(WITH_INTERRUPTS_NS),
        };
        poll(&[port], deadline_ns);
    }
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
}

/// The op `lock.kick`. A hypercall orders all earlier stores.
unsafe extern "C" fn kick(cpu: usize) {
    if let Some(port) = port_of(cpu) {
        // The port was bound, so it can be sent to.
        let _ = event_channel::send(port);
    }
}

fn port_of(cpu: usize) -> Option<Port> {
    let port = PORTS.get(cpu)?.load(Ordering::Acquire);
    (port != NONE).then_some(Port(port))
}
