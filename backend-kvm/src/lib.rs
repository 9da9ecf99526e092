//! KVM backend: what KVM offers its guests, on top of the native backend.
//!
//! Layouts and numbers are from Linux's Documentation/virt/kvm/x86/{cpuid,msr}.rst and
//! arch/x86/include/uapi/asm/kvm_para.h. Each feature is used only if its bit is set.
#![no_std]

mod clock;
mod features;
mod shared;
mod wall_clock;

use pvops_backend_native as native;
use pvops_core::backend::{Backend, BindError, Host};
use pvops_core::binding::Binding;
use pvops_core::probe::Signature;
use pvops_core::tsc::TscFrequency;
use pvops_core::{Bindings, bindings, call, cpu, preserve};

pub use features::{Features, Hints};

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
    let features = Features::of(interface);
    let clock = clock::start(host.kernel, features);
    let frequency = tsc_khz_leaf(host).or_else(|| {
        Some(TscFrequency {
            khz: clock?.scale.tsc_khz(),
            source: "kvmclock",
        })
    });
    let mut bindings = native::bind_with_tsc(host, frequency)?;
    if clock.is_some() {
        bindings.time.clock_ns = CLOCK_NS;
        if wall_clock::start(host.kernel, features) {
            bindings.time.wall_clock_ns = WALL_CLOCK_NS;
        }
    }
    if features.contains(Features::NOP_IO_DELAY) {
        bindings.io.delay = Binding::nothing();
    }
    Ok(bindings)
}

/// Gives the host a record of the time for this CPU, and readies the rest as on hardware.
fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    let features = host.interface.map_or(Features::empty(), Features::of);
    if clock::is_bound() && clock::start(host.kernel, features).is_none() {
        return Err(BindError("the host keeps no time for this CPU"));
    }
    native::bring_up_cpu(host)
}

/// Has the host stop writing this CPU's record.
fn take_down_cpu(host: &Host<'_>) {
    native::take_down_cpu(host);
    clock::stop(host.interface.map_or(Features::empty(), Features::of));
}

/// What this backend binds on a host with all the features it uses, for tools that show what it puts
/// at call sites. Nothing is touched.
pub fn typical() -> Bindings {
    let native = native::typical();
    Bindings {
        time: bindings::time {
            clock_ns: CLOCK_NS,
            wall_clock_ns: WALL_CLOCK_NS,
            ..native.time
        },
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

/// Leaf 0x10 of the interface: eax is the time-stamp counter's rate in kHz, or 0. Virtual machine
/// monitors add it; KVM itself does not.
fn tsc_khz_leaf(host: &Host<'_>) -> Option<TscFrequency> {
    let khz = u64::from(host.interface?.leaf(&cpu::cpuid, 0x10)?.eax);
    (khz != 0).then_some(TscFrequency {
        khz,
        source: "cpuid 0x40000010",
    })
}
