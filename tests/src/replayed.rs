//! A real boot made once more in this process, by what its host answered then.

use pvops_backend_kvm as kvm;
use pvops_backend_native as native;
use pvops_backend_xen as xen;
use pvops_core::probe::Interfaces;
use pvops_core::testing::{ClockReading, Cpu, Process, Recording, simulate};
use pvops_core::{backend, bring_up_cpu, cpu, install, interpose, time};

/// A simulated CPU, brought up by the backend that its host wants.
pub struct Replayed {
    /// The CPU.
    pub cpu: Cpu,
    /// The interface that the backend speaks.
    pub interface: pvops_core::probe::Interface,
    recording: Recording,
}

/// Looks for hypervisors, installs the backend that fits best and brings up the CPU, as the recorded kernel
/// did, on the CPU with this index. Once in a process, in which nobody else uses ops.
///
/// # Safety
///
/// Vectors that were lent to the backend get no interrupts.
pub unsafe fn replay(text: &str, cpu_index: usize) -> Replayed {
    let recording: Recording = text.parse().unwrap();
    let this = Cpu::with_index(cpu_index);
    this.replay(&recording);
    // SAFETY: nobody else uses ops, and what is simulated works in a process.
    unsafe { interpose(simulate) };
    let interfaces = Interfaces::scan(&cpu::cpuid);
    let backends = [&native::BACKEND, &kvm::BACKEND, &xen::BACKEND];
    let chosen = backend::select(&backends, &interfaces, None).unwrap();
    let interface = *interfaces.find(&chosen.signature.unwrap()).unwrap();
    assert_eq!(interfaces.as_slice(), [interface]);
    // SAFETY: as above; the CPU is one thread.
    let sites = unsafe {
        let sites = install(chosen, &Process, &interfaces).unwrap();
        bring_up_cpu().unwrap();
        sites
    };
    assert!(sites.call > 0);
    Replayed {
        cpu: this,
        interface,
        recording,
    }
}

impl Replayed {
    /// Reads the clock when the recorded kernel did, and must find what that found, to the nanosecond.
    pub fn check_clock(&self) {
        let readings = self.recording.clocks();
        assert!(readings.len() >= 2);
        for reading in readings {
            let found = ClockReading {
                tsc_before: cpu::read_tsc_ordered(),
                clock_ns: time::clock_ns(),
                tsc_after: cpu::read_tsc_ordered(),
            };
            assert_eq!(found, *reading);
        }
    }

    /// The counter behind the last of these readings.
    pub fn last_tsc(&self) -> u64 {
        self.recording.clocks().last().unwrap().tsc_after
    }
}
