//! A machine whose local APIC is a page of registers, under a kernel that can't map it.

use pvops_backend_native as native;
use pvops_core::event::EventStatus;
use pvops_core::probe::{CpuIdResult, Interfaces};
use pvops_core::testing::{Cpu, Process, simulate};
use pvops_core::{bring_up_cpu, install, interpose, time};

#[test]
fn it_is_as_if_there_were_none() {
    let this = Cpu::new();
    let features = CpuIdResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        // APIC.
        edx: 1 << 9,
    };
    this.set_cpuid(1, 0, features);
    this.set_msr(0x1b, 0xfee0_0900);
    native::set_tsc_khz(1_000_000);
    // SAFETY: nobody else uses ops, and what is simulated works in a process.
    unsafe {
        interpose(simulate);
        install(&native::BACKEND, &Process, &Interfaces::default()).unwrap();
        bring_up_cpu().unwrap();
    }
    assert_eq!(native::apic_id(0), None);
    assert_eq!(time::set_event(0), EventStatus::NO_TIMER);
}
