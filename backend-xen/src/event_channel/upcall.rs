//! The interrupt by which Xen says that there are events.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use pvops_core::{InterruptVector, apic, atomic64};

use super::fifo::Left;
use super::kinds::Port;
use super::{HANDLERS, Handler, abi};
use crate::shared_info::{self, VcpuInfo};
use crate::vcpu::{self, VcpuId};
use crate::{is_pv, version};

/// Lends the vector by which Xen says that there are events. Without one, there are none. Call it before
/// [`install`](pvops_core::install()).
///
/// # Safety
///
/// On every CPU that is brought up, the vector's handler calls [`handle_upcall`], interrupts off, and
/// does not end the interrupt itself.
pub unsafe fn set_vector(vector: InterruptVector) {
    VECTOR.store(vector.get(), Ordering::Relaxed);
}

/// Calls the handlers of the ports that have events, and ends the interrupt if it is one that wants that.
/// In the handler of the vector lent, interrupts off.
pub fn handle_upcall() {
    if let (Some(kernel), Some(info)) = (pvops_core::kernel(), shared_info::of_this_cpu()) {
        let cpu = kernel.cpu_index();
        match is_pv() {
            #[cfg(target_arch = "x86_64")]
            true => super::deferred::run(cpu),
            _ => visit_all(cpu, info, &mut |port, handler| handler(port)),
        }
    }
    if END.load(Ordering::Relaxed) == End::AtLocalApic as u8 {
        apic::eoi();
    }
}

/// How many events came of ports that have no handler, or that there are not. Any context.
pub fn stray_events() -> u64 {
    atomic64::load(&STRAY, Ordering::Relaxed)
}

/// Counts such an event.
pub(crate) fn stray() {
    STRAY.fetch_add(1, Ordering::Relaxed);
}

/// How the interrupt ends, and how it can be had again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum End {
    /// When `upcall_pending` is clear; it comes again when that is set.
    ByItself = 0,
    /// By EOI.
    AtLocalApic = 1,
}

/// Says how the interrupt ends. On the boot CPU, before it comes.
pub(crate) fn end_by(end: End) {
    END.store(end as u8, Ordering::Relaxed);
}

/// The virtual CPUs that the interrupt for events comes to, and that take events therefore.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum ReachedCpus {
    First,
    Each,
}

/// Says where the interrupt comes. On the boot CPU, before it comes.
pub(crate) fn set_reached_cpus(cpus: ReachedCpus) {
    IS_KEPT_WITH_FIRST.store(cpus == ReachedCpus::First, Ordering::Relaxed);
}

/// Whether a virtual CPU takes events.
pub(super) fn is_reached(vcpu: VcpuId) -> bool {
    vcpu == VcpuId(0) || !IS_KEPT_WITH_FIRST.load(Ordering::Relaxed)
}

/// The vector that the kernel has lent.
pub(crate) fn lent_vector() -> Option<u8> {
    let vector = VECTOR.load(Ordering::Relaxed);
    (vector != NO_VECTOR).then_some(vector)
}

/// An exception's, so never lent.
const NO_VECTOR: u8 = 0;
static VECTOR: AtomicU8 = AtomicU8::new(NO_VECTOR);
static END: AtomicU8 = AtomicU8::new(End::ByItself as u8);
static IS_KEPT_WITH_FIRST: AtomicBool = AtomicBool::new(false);
static STRAY: AtomicU64 = AtomicU64::new(0);

/// Takes all events of this CPU, and has `deliver` see to the ports that have handlers. In the upcall.
pub(crate) fn visit_all(cpu: usize, info: &VcpuInfo, deliver: &mut dyn FnMut(Port, Handler)) {
    /// What comes later brings an interrupt of its own.
    const ROUNDS: u32 = 16;
    let Some(abi) = abi::chosen() else {
        return;
    };
    for _ in 0..ROUNDS {
        info.upcall_pending.swap(0, Ordering::SeqCst);
        let left = abi.visit_ready(cpu, info, |port| visit(cpu, port, deliver));
        if left == Left::More {
            return ask_again(info);
        }
        if info.upcall_pending.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
}

fn visit(cpu: usize, port: Port, deliver: &mut dyn FnMut(Port, Handler)) {
    let Some(abi) = abi::chosen() else {
        return;
    };
    let slot = HANDLERS.get(port);
    match slot.and_then(|slot| Some((slot, slot.handler()?))) {
        // In the two-level ABI ports of several CPUs share a word.
        Some((slot, _)) if !super::is_fifo() && vcpu::id(cpu) != Some(slot.vcpu()) => {}
        Some((_, handler)) => {
            // First, so that what is sent meanwhile comes again.
            abi.clear_pending(port);
            deliver(port, handler);
        }
        None => {
            // Its event waits for whoever binds the port.
            let is_being_closed = abi.mask(port);
            if !is_being_closed {
                stray();
            }
        }
    }
}

/// Has the interrupt come again when this one has ended: Xen does not know that something was left.
fn ask_again(info: &VcpuInfo) {
    /// Interrupt command: destination shorthand "self", level assert. Intel SDM volume 3, figure 12-12.
    const TO_SELF: u64 = 1 << 18 | 1 << 14;
    let vector = VECTOR.load(Ordering::Relaxed);
    if END.load(Ordering::Relaxed) == End::AtLocalApic as u8 {
        // SAFETY: the vector has the handler that runs now.
        unsafe { apic::write_icr(TO_SELF | u64::from(vector)) };
    } else {
        info.upcall_pending.store(1, Ordering::SeqCst);
        // Xen looks there whenever it has been called.
        let _ = version::version();
    }
}
