//! KVM backend: what KVM offers its guests, on top of the native backend.
//!
//! Layouts and numbers are from Linux's Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst and
//! arch/x86/include/uapi/asm/kvm_para.h. Each feature is used only if its bit is set.
//!
//! [`BACKEND`] has the ops. The rest is what KVM has and no op does: [`async_page_fault`], the host's clock
//! ([`clock_pair`]), who polls before a halt ([`stop_host_polling`]), guests with encrypted memory
//! ([`map_gpa_range`], [`allow_migration`]), and [`hypercall()`].
#![no_std]
#![warn(missing_debug_implementations)]

pub mod async_page_fault;
mod clock;
mod clock_pairing;
mod encryption;
mod end_of_interrupt;
mod ending;
mod features;
mod hypercall;
mod ipi;
mod lock;
mod poll_control;
mod shared;
mod steal_time;
mod tlb_flush;
mod wall_clock;

use pvops_backend_native::{self as native, HypercallInstruction};
use pvops_core::backend::{Backend, BindError, Host};
use pvops_core::binding::Binding;
use pvops_core::probe::Signature;
use pvops_core::tsc::TscFrequency;
use pvops_core::{Bindings, Kernel, bindings, call, cpu, preserve};

use features::Circumstances;

pub use clock_pairing::{ClockPair, ClockPairError, clock_pair};
pub use encryption::{Encryption, PageSize, allow_migration, forbid_migration, map_gpa_range};
pub use end_of_interrupt::saved_ends_of_interrupts;
pub use features::{Features, Hints, NotOffered};
pub use hypercall::{HypercallError, HypercallNumber, hypercall};
pub use poll_control::{resume_host_polling, stop_host_polling};
pub use tlb_flush::flushes_left_to_host;

/// The backend for guests of KVM.
pub static BACKEND: Backend = Backend {
    name: "kvm",
    signature: Some(Signature::new(*b"KVMKVMKVM\0\0\0")),
    bind,
    bring_up_cpu,
    take_down_cpu,
};

/// Binds what KVM does better and leaves the rest to the hardware.
fn bind(host: &Host<'_>) -> Result<Bindings, BindError> {
    let interface = host
        .interface
        .ok_or(BindError("no KVM interface in CPUID"))?;
    let mut features = Features::of(interface);
    if shared::of_this_cpu(host.kernel).is_none() {
        features.remove(NEED_FRAME);
    }
    let hypercall = HypercallInstruction::of(&cpu::cpuid);
    let hints = Hints::of(interface);
    if hints.contains(Hints::REALTIME) {
        // Every CPU has a physical one of its own, so whose turn it is runs.
        pvops_core::lock::keep_waiters_awake();
    }
    let features = features.worth_using(hints, circumstances(hypercall));
    features.put_to_use();
    let clock = clock::start(host.kernel, features);
    let frequency =
        tsc_khz_leaf(host).or_else(|| TscFrequency::new(clock?.scale.tsc_khz(), "kvmclock"));
    let mut bindings = native::bind_with_tsc(host, frequency)?;
    if let Some(clock) = clock {
        if !clock::is_tsc_as_good(features, clock.flags) {
            bindings.time.clock_ns = CLOCK_NS;
        }
        bindings.time.was_stopped = WAS_STOPPED;
        if wall_clock::start(host.kernel, features) {
            bindings.time.wall_clock_ns = WALL_CLOCK_NS;
        }
    }
    if features.contains(Features::STEAL_TIME) {
        bindings.time.stolen_ns = STOLEN_NS;
        bindings.lock = bindings.lock.with_preemption(VCPU_IS_PREEMPTED);
    }
    if features.contains(Features::PV_EOI) {
        bindings.apic.eoi = EOI;
    }
    if features.contains(Features::PV_TLB_FLUSH) {
        bindings.mmu.flush_tlb_multi = FLUSH_TLB_MULTI;
    }
    if features.contains(Features::NOP_IO_DELAY) {
        bindings.io.delay = Binding::nothing();
    }
    if let Some(instruction) = hypercall {
        bindings.system.hypercall = instruction.binding();
        clock_pairing::start(host.kernel);
    }
    bindings.system = ending::leaving_nothing(bindings.system);
    if features.contains(Features::PV_UNHALT) {
        bindings.lock = bindings.lock.with_sleep(lock::WAIT, lock::KICK);
    }
    if features.intersects(Features::PV_SEND_IPI | Features::PV_SCHED_YIELD) {
        bindings.smp.send_ipi_set = SEND_IPI_SET;
    }
    Ok(bindings)
}

/// What decides, besides the host, which features are used.
fn circumstances(hypercall: Option<HypercallInstruction>) -> Circumstances {
    const FEATURES: u32 = 1;
    const ECX_MWAIT: u32 = 1 << 3;
    let mut circumstances = Circumstances::empty();
    circumstances.set(Circumstances::HYPERCALLS, hypercall.is_some());
    let sleepy = !pvops_core::lock::are_waiters_kept_awake();
    circumstances.set(Circumstances::SLEEPY_LOCKS, sleepy);
    let has_vector = async_page_fault::has_vector();
    circumstances.set(Circumstances::ASYNC_PF_VECTOR, has_vector);
    let features = cpu::cpuid(FEATURES, 0);
    circumstances.set(Circumstances::MWAIT, features.ecx & ECX_MWAIT != 0);
    circumstances
}

/// Has the host keep its records for this CPU, and readies the rest as on hardware.
fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    let features = Features::in_use();
    if clock::is_bound() && clock::start(host.kernel, features).is_none() {
        return Err(BindError("the host keeps no time for this CPU"));
    }
    start_records(host.kernel, features).ok_or(BindError(
        "no memory for what this CPU shares with the host",
    ))?;
    if HypercallInstruction::of(&cpu::cpuid).is_some() {
        hypercall::allow();
    }
    native::bring_up_cpu(host)
}

/// Has the host stop writing this CPU's records.
fn take_down_cpu(host: &Host<'_>) {
    let features = Features::in_use();
    native::take_down_cpu(host);
    if features.contains(Features::STEAL_TIME) {
        steal_time::stop(host.kernel);
    }
    if features.contains(Features::PV_EOI) {
        end_of_interrupt::stop(host.kernel);
    }
    if features.contains(Features::ASYNC_PF_INT) {
        async_page_fault::stop(host.kernel);
    }
    clock::stop(features);
    // It outlives a start of the CPU; and nobody is there to tell.
    let _ = resume_host_polling();
}

/// The features that are nothing without memory to share.
const NEED_FRAME: Features = Features::STEAL_TIME
    .union(Features::PV_EOI)
    .union(Features::ASYNC_PF_INT);

/// Has the host begin to write this CPU's records, but the clock's. `None` if the kernel has no memory
/// for them.
fn start_records(kernel: &dyn Kernel, features: Features) -> Option<()> {
    if features.contains(Features::STEAL_TIME) {
        steal_time::start(kernel)?;
    }
    if features.contains(Features::PV_EOI) {
        end_of_interrupt::start(kernel)?;
    }
    if features.contains(Features::ASYNC_PF_INT) {
        async_page_fault::start(kernel)?;
    }
    Some(())
}

/// What this backend binds on a host with all the features it uses, for tools that show what it puts
/// at call sites. Nothing is touched.
pub fn typical() -> Bindings {
    let native = native::typical();
    Bindings {
        time: bindings::time {
            clock_ns: CLOCK_NS,
            wall_clock_ns: WALL_CLOCK_NS,
            stolen_ns: STOLEN_NS,
            was_stopped: WAS_STOPPED,
            ..native.time
        },
        mmu: bindings::mmu {
            flush_tlb_multi: FLUSH_TLB_MULTI,
            ..native.mmu
        },
        apic: bindings::apic {
            eoi: EOI,
            ..native.apic
        },
        lock: native
            .lock
            .with_preemption(VCPU_IS_PREEMPTED)
            .with_sleep(lock::WAIT, lock::KICK),
        smp: bindings::smp {
            send_ipi_set: SEND_IPI_SET,
            ..native.smp
        },
        system: ending::leaving_nothing(bindings::system {
            hypercall: HypercallInstruction::Vmcall.binding(),
            ..native.system
        }),
        io: bindings::io {
            delay: Binding::nothing(),
            ..native.io
        },
        ..native
    }
}

const CLOCK_NS: Binding<pvops_core::op::time::clock_ns> =
    preserve!(time::clock_ns, clock::clock_ns);
const WALL_CLOCK_NS: Binding<pvops_core::op::time::wall_clock_ns> =
    call!(time::wall_clock_ns, wall_clock::wall_clock_ns);
const SEND_IPI_SET: Binding<pvops_core::op::smp::send_ipi_set> =
    call!(smp::send_ipi_set, ipi::send_ipi_set);
const STOLEN_NS: Binding<pvops_core::op::time::stolen_ns> =
    preserve!(time::stolen_ns, steal_time::stolen_ns);
const FLUSH_TLB_MULTI: Binding<pvops_core::op::mmu::flush_tlb_multi> =
    call!(mmu::flush_tlb_multi, tlb_flush::flush_tlb_multi);
const EOI: Binding<pvops_core::op::apic::eoi> = preserve!(apic::eoi, end_of_interrupt::eoi);
const WAS_STOPPED: Binding<pvops_core::op::time::was_stopped> =
    preserve!(time::was_stopped, clock::was_stopped);
const VCPU_IS_PREEMPTED: Binding<pvops_core::op::lock::vcpu_is_preempted> =
    preserve!(lock::vcpu_is_preempted, steal_time::vcpu_is_preempted);

/// Leaf 0x10 of the interface: eax is the time-stamp counter's rate in kHz, or 0. Virtual machine
/// monitors add it; KVM itself does not.
fn tsc_khz_leaf(host: &Host<'_>) -> Option<TscFrequency> {
    let khz = u64::from(host.interface?.leaf(&cpu::cpuid, 0x10)?.eax);
    TscFrequency::new(khz, "cpuid 0x40000010")
}
