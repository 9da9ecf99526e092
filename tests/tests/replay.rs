//! Real boots, replayed in this process: finding the host, and KVM's backend with its clock.
//!
//! `cargo xtask record` makes the recordings anew.

use std::sync::{Mutex, MutexGuard};

use pvops_backend_kvm::{self as kvm, Features};
use pvops_backend_native::{self as native, HypercallInstruction};
use pvops_backend_xen as xen;
use pvops_core::backend::{self, Backend};
use pvops_core::probe::Interfaces;
use pvops_core::testing::{Cpu, Process, Recording, simulate};
use pvops_core::{bring_up_cpu, cpu, install, time};

const KVM: &str = include_str!("../recordings/kvm-l1.txt");
const XEN: &str = include_str!("../recordings/xen-pvh.txt");

static SIMULATED_KVM: Backend = Backend {
    bind: |host| Ok(simulate((kvm::BACKEND.bind)(host)?)),
    ..kvm::BACKEND
};

/// No thread uses ops while another one patches.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap()
}

fn replay(text: &str) -> (Cpu, Recording) {
    let recording: Recording = text.parse().unwrap();
    let this = Cpu::new();
    this.replay(&recording);
    (this, recording)
}

#[test]
fn each_host_is_found_and_has_its_backend() {
    let _alone = alone();
    let backends = [&native::BACKEND, &kvm::BACKEND, &xen::BACKEND];
    for (text, name, max_leaf) in [(KVM, "kvm", 0x4000_0001), (XEN, "xen", 0x4000_0005)] {
        let (_this, _) = replay(text);
        let interfaces = Interfaces::scan(&cpu::cpuid);
        let chosen = backend::select(&backends, &interfaces, None).unwrap();
        assert_eq!(chosen.name, name);
        let interface = interfaces.find(&chosen.signature.unwrap()).unwrap();
        assert_eq!(interfaces.as_slice(), [*interface]);
        assert_eq!(
            (interface.base(), interface.max_leaf()),
            (0x4000_0000, max_leaf)
        );
        let instruction = HypercallInstruction::of(&cpu::cpuid);
        assert_eq!(instruction, Some(HypercallInstruction::Vmmcall), "{name}");
    }
}

#[test]
fn kvm_is_installed_as_in_the_boot_and_its_clock_read() {
    /// Of the kernel that was recorded.
    const PAGE_READY_VECTOR: u8 = 0x44;
    const HOUR_NS: u64 = 3_600_000_000_000;
    let _alone = alone();
    let (this, recording) = replay(KVM);
    let interfaces = Interfaces::scan(&cpu::cpuid);
    // SAFETY: no such fault comes. Nobody else uses ops, and the CPU is simulated.
    let counts = unsafe {
        kvm::async_page_fault::set_vector(PAGE_READY_VECTOR);
        let counts = install(&SIMULATED_KVM, &Process, &interfaces).unwrap();
        bring_up_cpu().unwrap();
        counts
    };
    assert!(counts.call > 0);
    assert!(Features::in_use().contains(Features::STEAL_TIME | Features::PV_EOI));
    // All registers were written as in the boot, or the test had failed.
    assert_eq!(this.left_to_replay(), ["hypercall 0x9"]);

    assert!(recording.clocks().len() >= 2);
    for reading in recording.clocks() {
        this.set_tsc(reading.tsc_before);
        let before_ns = time::clock_ns();
        this.set_tsc(reading.tsc_after);
        let after_ns = time::clock_ns();
        let range = before_ns..=after_ns;
        assert!(range.contains(&reading.clock_ns), "{range:?}: {reading:x?}");
    }

    let pair = kvm::clock_pair().unwrap();
    assert_eq!(this.left_to_replay(), [""; 0]);
    let last = recording.clocks().last().unwrap();
    assert!(pair.tsc > last.tsc_after, "{pair:x?}");
    let apart_ns = pair.wall_clock_ns.abs_diff(time::wall_clock_ns());
    assert!(apart_ns < HOUR_NS, "{apart_ns}");
}
