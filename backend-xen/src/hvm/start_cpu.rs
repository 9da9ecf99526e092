//! Starting another CPU by a call of Xen, without a local APIC: it begins in the mode of this code at once.
//!
//! VCPUOP_initialise and VCPUOP_up of Xen's public/vcpu.h; public/hvm/hvm_vcpu.h.

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[path = "start_cpu/x86_64.rs"]
        mod context;
    } else {
        #[path = "start_cpu/x86.rs"]
        mod context;
    }
}

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::binding::Binding;
use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{Bindings, bindings, call, cpu, irq, op, preserve};

use self::context::Context;
use crate::error::XenError;
use crate::restart;
use crate::shared_frame::{self, SharedFrame};
use crate::shared_info::{self, LEGACY_VCPUS};
use crate::vcpu::{self, VcpuId};

/// Has other CPUs be started by a call of Xen though there is a local APIC, which then is of no use for
/// that. Before [`install`](pvops_core::install()).
///
/// [`CpuStart`]'s trampoline is not used. With interrupts off,
/// [`irq::halt`](fn@pvops_core::irq::halt) takes a CPU off until it is started again. The kernel gives CPUs
/// from 32 on the numbers that Xen has for them.
pub fn start_cpus_by_call() {
    WANTED.store(true, Ordering::Relaxed);
}

static WANTED: AtomicBool = AtomicBool::new(false);

/// The bindings with CPUs started so, where that is wanted or there is no local APIC.
pub(super) fn or_by_call(bindings: Bindings) -> Bindings {
    if has_local_apic() && !WANTED.load(Ordering::Relaxed) {
        return bindings;
    }
    Bindings {
        smp: bindings::smp {
            start_cpu: START_CPU,
            ..bindings.smp
        },
        irq: bindings::irq {
            halt: HALT,
            ..bindings.irq
        },
        ..bindings
    }
}

const START_CPU: Binding<op::smp::start_cpu> = call!(smp::start_cpu, start_cpu);
const HALT: Binding<op::irq::halt> = preserve!(irq::halt, halt);

/// CPUID leaf 1, edx bit 9. Intel SDM volume 2, CPUID.
fn has_local_apic() -> bool {
    cpu::cpuid(1, 0).edx & 1 << 9 != 0
}

/// The op `smp.start_cpu`.
unsafe extern "C" fn start_cpu(apic_id: u32, start: *const CpuStart) -> StartStatus {
    // SAFETY: the op's caller vouches for the pointer.
    let start = unsafe { start.read() };
    if !start.stack_top.is_multiple_of(16) {
        return StartStatus::BAD_ADDRESS;
    }
    // SAFETY: the CPU is off, and the caller vouches for what it begins with.
    match unsafe { tell(vcpu::with_local_apic_id(apic_id), &start) } {
        Ok(()) => StartStatus::TOLD,
        Err(_) => StartStatus::UNAVAILABLE,
    }
}

/// Has a CPU begin, for the first time or again.
///
/// # Safety
///
/// The CPU is off or about to be, and what it is told is good.
unsafe fn tell(vcpu: VcpuId, start: &CpuStart) -> Result<(), XenError> {
    share_record(vcpu)?;
    let mut context = Context::of(start);
    // SAFETY: the context is one of this kind of guest; as the caller vouches.
    unsafe {
        match vcpu::initialise(vcpu, &mut context) {
            Err(XenError::EXISTS) => {
                let cpu = vcpu::cpu_of(vcpu).ok_or(XenError::BUSY)?;
                vcpu::wait_until_down(vcpu)?;
                restart::prepare(cpu, start);
            }
            result => result?,
        }
        vcpu::up(vcpu)
    }
}

/// Xen initialises no CPU that has no record: beyond those of its page, it has to be told of one before, and
/// again where the domain has moved.
fn share_record(vcpu: VcpuId) -> Result<(), XenError> {
    let cpu = vcpu.0 as usize;
    let is_known = |frame: &SharedFrame| shared_info::is_known(cpu, &frame.vcpu_info);
    if cpu < LEGACY_VCPUS || shared_frame::of(cpu).is_some_and(is_known) {
        return Ok(());
    }
    let kernel = pvops_core::kernel().ok_or(XenError::NO_SUCH_CALL)?;
    let frame = shared_frame::of_cpu(kernel, cpu).ok_or(XenError::OUT_OF_MEMORY)?;
    super::register_record(kernel, cpu, vcpu, frame)
}

/// The op `irq.halt`: with interrupts off nothing but a start would come any more.
unsafe extern "C" fn halt() {
    const INTERRUPTS_ENABLED: usize = 1 << 9;
    if irq::save_flags() & INTERRUPTS_ENABLED == 0 {
        restart::go_down();
    }
    // SAFETY: interrupts are on, as the op's caller wants to be woken by them.
    unsafe { core::arch::asm!("hlt", options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_shared_again_where_the_domain_has_moved() {
        const CPU: usize = LEGACY_VCPUS + 1;
        const VCPU: VcpuId = VcpuId(CPU as u32);
        vcpu::set_id(CPU, VCPU);
        shared_info::forget_vcpu_infos();
        // It tries, which takes a kernel.
        assert_eq!(share_record(VCPU), Err(XenError::NO_SUCH_CALL));
    }
}
