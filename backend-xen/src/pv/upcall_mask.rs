//! The interrupt flag of a PV guest: a byte by which this CPU masks upcalls.
//!
//! The functions here find the CPU and then its byte. Whoever calls them with upcalls unmasked must not go on
//! on another CPU in between; [`Kernel::per_cpu_area`](pvops_core::Kernel::per_cpu_area) says so.
//!
//! Xen's public/xen.h, `vcpu_info`.

use core::sync::atomic::{Ordering, compiler_fence};

use pvops_core::irq;

use crate::hypercall::{HypercallNumber, hypercall};
use crate::restart;
use crate::shared_info::VcpuInfo;

use super::this_cpu;

/// EFLAGS.IF, as `save_flags` reports it.
const INTERRUPTS_ENABLED: usize = 1 << 9;

/// Runs `body` without upcalls. By the ops, which where the kernel lends a place for the byte mask the CPU
/// that they run on in one instruction: then this may be preempted before, and go on on another CPU.
pub(super) fn masked<R>(body: impl FnOnce() -> R) -> R {
    let flags = irq::save_flags();
    irq::disable();
    let result = body();
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
    result
}

pub(super) unsafe extern "C" fn save_flags() -> usize {
    match this_cpu::info().upcall_mask.load(Ordering::Relaxed) {
        0 => INTERRUPTS_ENABLED | 1 << 1,
        _ => 1 << 1,
    }
}

pub(super) unsafe extern "C" fn disable() {
    this_cpu::info().upcall_mask.store(1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

pub(super) unsafe extern "C" fn enable() {
    unmask(this_cpu::info());
}

/// An upcall between the two steps has been made when the call is reached, which then does nothing.
fn unmask(info: &VcpuInfo) {
    compiler_fence(Ordering::SeqCst);
    info.upcall_mask.store(0, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    if info.upcall_pending.load(Ordering::Relaxed) != 0 {
        // On the way back from any call Xen makes the upcalls that are pending.
        // SAFETY: asking for Xen's version has no other effect.
        let _ = unsafe { hypercall(HypercallNumber::XEN_VERSION, [0]) };
    }
}

pub(super) unsafe extern "C" fn restore_flags(flags: usize) {
    // SAFETY: the flags come from this CPU.
    unsafe {
        if flags & INTERRUPTS_ENABLED != 0 {
            enable();
        } else {
            disable();
        }
    }
}

/// SCHEDOP_block: unmasks upcalls, and waits until one is pending.
pub(super) unsafe extern "C" fn safe_halt() {
    const BLOCK: u64 = 1;
    // SAFETY: the op's caller can bear interrupts.
    let _ = unsafe { hypercall(HypercallNumber::SCHED_OP, [BLOCK, 0]) };
}

/// With upcalls masked nothing would come any more, so the CPU goes off.
pub(super) unsafe extern "C" fn halt() {
    // By the op, as in `masked`.
    if irq::save_flags() & INTERRUPTS_ENABLED != 0 {
        // SAFETY: interrupts are on.
        unsafe { safe_halt() };
    } else {
        restart::go_down();
    }
}
