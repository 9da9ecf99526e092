//! Starting another CPU by a call of Xen, without a local APIC: it begins in 64-bit mode at once.
//!
//! VCPUOP_initialise and VCPUOP_up of Xen's public/vcpu.h; public/hvm/hvm_vcpu.h.

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::binding::Binding;
use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{Bindings, bindings, call, cpu, irq, op, preserve};

use crate::error::XenError;
use crate::shared_info::LEGACY_VCPUS;
use crate::vcpu::{self, VcpuId};
use crate::{restart, shared_frame};

/// Has other CPUs be started by a call of Xen though there is a local APIC, which then is of no use for
/// that. Before [`install`](pvops_core::install()).
///
/// The CPU begins in 64-bit mode, and [`CpuStart`]'s trampoline is not used. With interrupts off,
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

/// Xen initialises no CPU that has no record: beyond those of its page, it has to be told of one before.
fn share_record(vcpu: VcpuId) -> Result<(), XenError> {
    let cpu = vcpu.0 as usize;
    if cpu < LEGACY_VCPUS || vcpu::id(cpu).is_some() {
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

/// `struct vcpu_hvm_context`, for 64-bit mode.
#[repr(C)]
struct Context {
    mode: u32,
    padding: u32,
    registers: Registers,
    /// The rest of what a CPU in 32-bit mode would need.
    rest: u64,
}

/// `struct vcpu_hvm_x86_64`.
#[derive(Default)]
#[repr(C)]
struct Registers {
    rax: u64,
    rcx: u64,
    rdx: u64,
    rbx: u64,
    rsp: u64,
    rbp: u64,
    rsi: u64,
    rdi: u64,
    rip: u64,
    rflags: u64,
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Context>() == 128);
    assert!(offset_of!(Context, registers) == 8);
    assert!(offset_of!(Registers, rip) == 64);
    assert!(offset_of!(Registers, efer) == 104);
};

impl Context {
    /// With the control registers of this CPU.
    fn of(start: &CpuStart) -> Self {
        /// VCPU_HVM_MODE_64B.
        const MODE_64: u32 = 1;
        /// Intel SDM volume 4, table 2-2.
        const IA32_EFER: u32 = 0xc000_0080;
        Context {
            mode: MODE_64,
            padding: 0,
            registers: Registers {
                rdi: start.argument as u64,
                // As after a call.
                rsp: start.stack_top as u64 - 8,
                rip: start.entry as usize as u64,
                // Bit 1 is always set. Intel SDM volume 1, figure 3-8.
                rflags: 1 << 1,
                cr0: cpu::read_cr0() as u64,
                cr3: start.page_table,
                cr4: cpu::read_cr4() as u64,
                // SAFETY: every 64-bit CPU has the register.
                efer: unsafe { cpu::read_msr(IA32_EFER) },
                ..Registers::default()
            },
            rest: 0,
        }
    }
}
