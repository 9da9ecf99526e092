//! Native backend: the privileged instructions themselves.
//!
//! Linking this crate also defines the op table, so that every op works from the first instruction
//! on, before anything is probed or patched. The functions in it need nothing but the CPU; what
//! needs set-up (the clock, the event timer, the local APIC) says so until [`bind`] has run.
#![no_std]
#![warn(missing_debug_implementations)]

use pvops_core::backend::{Backend, BindError, Host};
use pvops_core::binding::Binding;
use pvops_core::tsc::TscFrequency;
use pvops_core::{Bindings, OpTable, inline};

mod acpi;
mod apic;
mod clock;
mod cpu;
mod event;
mod hpet;
mod hypercall;
mod io;
mod irq;
mod lfence;
mod mmu;
mod pit;
mod pm_timer;
mod reset;
mod rtc;
mod sample;
mod serial;
mod shootdown;
mod smp;
mod start;
mod tsc;

pub use acpi::{power_off, set_sleep_control};
pub use apic::stay_out_of_x2apic;
pub use hpet::set_hpet;
pub use hypercall::HypercallInstruction;
pub use pm_timer::set_pm_timer;
pub use reset::{reset, set_reset_control};
pub use shootdown::flush_tlb_multi_but;
pub use smp::apic_id;
pub use start::efer;
pub use tsc::set_tsc_khz;

/// The backend for machines without a hypervisor, or with one that offers nothing we know.
pub static BACKEND: Backend = Backend {
    name: "native",
    signature: None,
    bind,
    bring_up_cpu,
    take_down_cpu,
};

/// What every host in ring 0 starts from: functions that need nothing but the CPU.
pub const BEFORE_INSTALL: Bindings = Bindings {
    cpu: cpu::BINDINGS,
    irq: irq::BINDINGS,
    mmu: mmu::BINDINGS,
    time: event::NONE,
    io: io::BINDINGS,
    apic: apic::NONE,
    smp: smp::NONE,
    system: pvops_core::bindings::system {
        console_byte: serial::CONSOLE_BYTE,
        poweroff: acpi::POWEROFF,
        reboot: reset::REBOOT,
        // Nobody listens.
        report_crash: Binding::nothing(),
        hypercall: Binding::unavailable(),
        yield_cpu: inline!(system::yield_cpu, "pause"),
    },
    lock: pvops_core::bindings::lock::AWAKE,
};

/// The op table of the kernel that links this crate.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
static pvops_op_table: OpTable = OpTable::new(&BEFORE_INSTALL);

/// Readies clock, timer and local APIC of this machine and binds all ops to instructions. In ring 0, and
/// otherwise as [`Backend::bind`]: once, on the boot CPU, interrupts off.
///
/// For backends that bind some ops better and leave the others to the hardware, see
/// [`bind_with_tsc`].
///
/// # Errors
///
/// If nothing on this machine tells the rate of the time-stamp counter, or it is one that no clock has.
pub fn bind(host: &Host<'_>) -> Result<Bindings, BindError> {
    bind_with_tsc(host, None)
}

/// Like [`bind`], for a host that may have told the rate of the time-stamp counter: `None` if it has not.
///
/// # Errors
///
/// As for [`bind`].
pub fn bind_with_tsc(
    host: &Host<'_>,
    frequency: Option<TscFrequency>,
) -> Result<Bindings, BindError> {
    let frequency = match frequency {
        Some(frequency) => frequency,
        None => tsc::frequency(host.kernel)?,
    };
    pvops_core::tsc::publish(frequency);
    clock::start(frequency)?;
    let apic = apic::start(host);
    Ok(Bindings {
        cpu: cpu::bindings(),
        mmu: mmu::bindings(),
        time: event::start(&apic, frequency),
        apic: apic.bindings(),
        smp: apic.smp(),
        ..BEFORE_INSTALL
    })
}

/// Readies this CPU: turns its local APIC on, and on AMD's CPUs without a hypervisor has LFENCE order readings of
/// the time-stamp counter. As [`Backend::bring_up_cpu`]: interrupts off, after patching.
///
/// # Errors
///
/// If the CPU's number is beyond [`MAX_CPUS`](pvops_core::cpu_set::MAX_CPUS).
pub fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    lfence::have_it_wait();
    smp::bring_up(host)
}

/// Readies this CPU to be stopped: cancels its event, and no CPU sends it interrupts any more. As
/// [`Backend::take_down_cpu`]: interrupts off.
pub fn take_down_cpu(host: &Host<'_>) {
    pvops_core::time::cancel_event();
    smp::take_down(host);
}

/// All templates of this backend, for tools that show what it puts at call sites. The host is taken
/// to be one with x2APIC and the TSC-deadline timer; nothing is touched.
pub fn typical() -> Bindings {
    Bindings {
        cpu: cpu::TYPICAL,
        time: event::DEADLINE,
        apic: apic::X2APIC,
        smp: smp::APIC,
        ..BEFORE_INSTALL
    }
}
