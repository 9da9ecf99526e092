//! A real boot as PVH guest of Xen, made once more in this process.
//!
//! `cargo xtask record xen-pvh` makes the recording anew.
#![cfg(target_arch = "x86_64")] // As the kernel that was recorded is.

use std::process::Command;
use std::{env, fs};

use pvops_backend_native::HypercallInstruction;
use pvops_backend_xen::hvm::{Callback, callback};
use pvops_backend_xen::{event_channel, vcpu};
use pvops_core::{InterruptVector, cpu, time};
use pvops_tests::replayed::replay;

const RECORDING: &str = include_str!("../recordings/xen-pvh.txt");
/// A file to be replayed instead.
const OTHER: &str = "PVOPS_OTHER_RECORDING";

#[test]
fn xen_is_installed_as_in_the_boot_and_its_clock_read() {
    /// Of the kernel that was recorded.
    const EVENT_VECTOR: InterruptVector = InterruptVector::new(0x45).unwrap();
    const YEAR_NS: u64 = 31_556_952_000_000_000;
    let other = env::var(OTHER).map(|path| fs::read_to_string(path).unwrap());
    // SAFETY: no event comes.
    let boot = unsafe {
        event_channel::set_vector(EVENT_VECTOR);
        replay(other.as_deref().unwrap_or(RECORDING), 0)
    };
    let found = (boot.interface.base(), boot.interface.max_leaf());
    assert_eq!(found, (0x4000_0000, 0x4000_0005));
    let instruction = HypercallInstruction::of(&cpu::cpuid);
    assert_eq!(instruction, Some(HypercallInstruction::Vmmcall));
    // All calls and writes were those of the boot, in their order, or the test had failed.
    assert_eq!(boot.cpu.left_to_replay(), [""; 0]);
    assert_eq!(vcpu::id(0), Some(vcpu::VcpuId(0)));
    assert!(event_channel::is_fifo());
    assert_eq!(callback(), Some(Callback::LocalApic));

    boot.check_clock();
    let year = 1970 + time::wall_clock_ns() / YEAR_NS;
    assert!((2025..2100).contains(&year), "{year}");
    assert!(time::stolen_ns(0) > 0);
}

/// Replays the recording with a change, in another process; gives what that says as it fails.
fn fault_with(name: &str, change: impl Fn(&str) -> String) -> String {
    let path = env::temp_dir().join(format!("pvops-{name}-{}", std::process::id()));
    let changed = change(RECORDING);
    assert_ne!(changed, RECORDING, "{name}");
    fs::write(&path, changed).unwrap();
    let replay = Command::new(env::current_exe().unwrap())
        .args(["xen_is_installed", "--nocapture"])
        .env(OTHER, &path)
        .output()
        .unwrap();
    fs::remove_file(path).unwrap();
    assert!(!replay.status.success(), "{name} passes");
    String::from_utf8(replay.stderr).unwrap()
}

#[test]
fn another_boot_is_noticed() {
    let calls: Vec<&str> = RECORDING
        .lines()
        .filter(|line| line.starts_with("hypercall"))
        .collect();
    assert!(calls.len() > 10, "{calls:?}");
    let [first, second, third] = [calls[0], calls[1], calls[2]];

    let exchanged = |text: &str| {
        text.replace(second, "x")
            .replace(third, second)
            .replace("x\n", &format!("{third}\n"))
    };
    let fault = fault_with("exchanged", exchanged);
    assert!(
        fault.contains("hypercall 0x22, where hypercall 0xc is recorded"),
        "{fault}"
    );

    let fault = fault_with("left-out", |text| {
        text.replacen(&format!("{second}\n"), "", 1)
    });
    assert!(
        fault.contains("hypercall 0x22, where hypercall 0xc is recorded"),
        "{fault}"
    );

    let last = calls[calls.len() - 1];
    let fault = fault_with("more", |text| {
        text.replace(last, &format!("{last}\n{first}"))
    });
    assert!(fault.contains("hypercall 0x11"), "{fault}");

    let fault = fault_with("ends-early", |text| text.replace(last, ""));
    assert!(
        fault.contains("hypercall 0x22, and no host that answers it"),
        "{fault}"
    );

    // The parameter of the domain itself, DOMID_SELF.
    let fault = fault_with("structure", |text| {
        text.replacen("rsi=&0x7ff0,", "rsi=&0x7ff1,", 1)
    });
    assert!(
        fault.contains("hypercall 0x22: rsi+0x0 is 0x7ff0, where 0x7ff1 is recorded"),
        "{fault}"
    );

    // What Xen has written: the time of its record, without which there is another clock.
    let fault = fault_with("memory", |text| {
        text.replacen("memory frame1+0x20 ", "memory frame1+0xe00 ", 1)
    });
    assert!(fault.contains("Xen keeps no time for this CPU"), "{fault}");
}
