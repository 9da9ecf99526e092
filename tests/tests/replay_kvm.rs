//! A real boot on stock KVM, made once more in this process.
//!
//! `cargo xtask record kvm-l1` makes the recording anew.
#![cfg(target_arch = "x86_64")] // As the kernel that was recorded is.

use pvops_backend_kvm::{self as kvm, Features};
use pvops_backend_native::HypercallInstruction;
use pvops_core::{InterruptVector, cpu, time};
use pvops_tests::replayed::replay;

const RECORDING: &str = include_str!("../recordings/kvm-l1.txt");

#[test]
fn kvm_is_installed_as_in_the_boot_and_its_clock_read() {
    /// Of the kernel that was recorded.
    const PAGE_READY_VECTOR: InterruptVector = InterruptVector::new(0x44).unwrap();
    const SECOND_NS: u64 = 1_000_000_000;
    /// A crash kernel boots on any CPU.
    const INDEX: usize = 3;
    // SAFETY: no such fault comes.
    let boot = unsafe {
        kvm::async_page_fault::set_vector(PAGE_READY_VECTOR);
        replay(RECORDING, INDEX)
    };
    let found = (boot.interface.base(), boot.interface.max_leaf());
    assert_eq!(found, (0x4000_0000, 0x4000_0001));
    let instruction = HypercallInstruction::of(&cpu::cpuid);
    assert_eq!(instruction, Some(HypercallInstruction::Vmmcall));
    assert!(Features::in_use().contains(Features::STEAL_TIME | Features::PV_EOI));
    // All registers were written as in the boot, or the test had failed.
    assert_eq!(
        boot.cpu.left_to_replay(),
        ["wrmsr 0x4b564d00", "hypercall 0x9"]
    );
    boot.check_clock();

    let wall_clock_ns = time::wall_clock_ns();
    let pair = kvm::clock_pair().unwrap();
    assert_eq!(boot.cpu.left_to_replay(), [""; 0]);
    assert!(pair.tsc > boot.last_tsc(), "{pair:x?}");
    let apart_ns = pair.wall_clock_ns.abs_diff(wall_clock_ns);
    assert!(apart_ns < SECOND_NS, "{apart_ns}");
}
