//! The local APIC, other CPUs and the machine: what is said to them is noted, and has no effect.

use super::{simulated, thunk};
use crate::bindings;
use crate::call;
use crate::cpu_set::CpuSet;
use crate::cpu_start::{CpuStart, StartStatus};
use crate::testing::hypercall::HYPERCALL;
use crate::testing::state::perform_unnoted;

pub(super) const APIC: bindings::apic = simulated!(apic {
    call read(register: u32) -> u32 = |state| state.apic.get(&register).copied().unwrap_or(0);
    call write(register: u32, value: u32) = |state| {
        state.apic.insert(register, value);
    };
    thunk eoi() = |_| ();
    call write_icr(command: u64) = |_| ();
} else {});

pub(super) const SMP: bindings::smp = simulated!(smp {
    call start_cpu(apic_id: u32, start: *const CpuStart) -> StartStatus = |_| StartStatus::UNAVAILABLE;
    call send_ipi(cpu: usize, vector: u8) = |_| ();
    call send_ipi_set(cpus: *const CpuSet, vector: u8) = |_| ();
    call send_ipi_others(vector: u8) = |_| ();
    call setup_ipi(vector: u8) = |_| ();
    call handle_ipi() = |_| ();
} else {});

pub(super) const SYSTEM: bindings::system = simulated!(system {
    call poweroff() = |_| ();
    call reboot() = |_| ();
    call report_crash() = |_| ();
    thunk yield_cpu() = |_| std::thread::yield_now();
} else {
    console_byte: call!(system::console_byte, console_byte),
    hypercall: HYPERCALL,
});

unsafe extern "C" fn console_byte(byte: u8) {
    perform_unnoted(|state| state.console.push(byte));
}
