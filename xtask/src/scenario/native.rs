//! The kernel without a hypervisor: machines that QEMU's TCG emulates.

use std::time::Duration;

use super::setting::*;
use super::{Carrier, Ending, Scenario};
use crate::disturbance::Disturbance;
use crate::kernel::WordSize;
use crate::{figures, host};

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario {
        default: true,
        ..TCG
    },
    NATIVE32,
    // By PVH: QEMU itself prefers Multiboot.
    Scenario {
        name: "native32-hand-over",
        host: "TCG, 32-bit, handed to another kernel",
        cpus: &[2],
        cmdline: "hand-over",
        ending: Ending::HandOver,
        timeout: Duration::from_secs(240),
        ..NATIVE32
    },
    Scenario {
        name: "native32-icount",
        host: "TCG, counting instructions, 32-bit",
        most_cpus: 1,
        cpus: &[1],
        cmdline: "measure only=irq.flags",
        figures: Some(figures::vmi::check_ops),
        prepare: |_| Ok(emulated(COUNTING)),
        ..NATIVE32
    },
    TCG_ICOUNT,
    // What a shootdown costs takes more than one CPU.
    Scenario {
        name: "tcg-icount-smp",
        most_cpus: u16::MAX,
        cpus: &[2, 4],
        cmdline: "measure only=smp.online",
        ..TCG_ICOUNT
    },
    // As on most PCs: BIOS, GRUB, Multiboot2.
    Scenario {
        name: "tcg-grub",
        host: "TCG, booted by GRUB",
        carrier: Carrier::Grub,
        cpus: &[1, 2],
        ..TCG
    },
    Scenario {
        name: "tcg-poweroff",
        host: "TCG, turned off by ACPI",
        cpus: &[1],
        cmdline: "only=irq.flags end=poweroff",
        ending: Ending::PowerOff,
        timeout: Duration::from_secs(20),
        ..TCG
    },
    Scenario {
        name: "tcg-reboot",
        host: "TCG, reset by the kernel",
        cpus: &[1],
        cmdline: "only=irq.flags end=reboot",
        ending: Ending::Reset,
        timeout: Duration::from_secs(20),
        ..TCG
    },
    // The host disturbs the self-test.
    Scenario {
        name: "tcg-stop",
        host: "TCG, stopped and continued",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        ..TCG
    },
    Scenario {
        name: "tcg-snapshot",
        host: "TCG, restored from a snapshot",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Snapshot),
        ..TCG
    },
    Scenario {
        name: "tcg-migration",
        host: "TCG, migrated to another",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Migration),
        ..TCG
    },
    // The kernel starts another, which looks whether the host still writes to what it had shared
    // with the first. One uses what KVM offers; one ignores KVM, which then goes on with whatever
    // the first has not stopped.
    Scenario {
        name: "tcg-hand-over",
        host: "TCG, handed to another kernel",
        cpus: &[2],
        cmdline: "hand-over",
        ending: Ending::HandOver,
        timeout: Duration::from_secs(240),
        ..TCG
    },
    // 10 million clock reads, 100,000 shootdowns.
    Scenario {
        name: "tcg-stress",
        host: "TCG, for longer",
        cpus: &[2],
        cmdline: "stress",
        timeout: Duration::from_secs(300),
        ..TCG
    },
    // No HPET and no PIT: the time-stamp counter is measured against the PM timer.
    Scenario {
        name: "tcg-pm-timer",
        host: "TCG, without HPET and PIT",
        cpus: &[1],
        timeout: Duration::from_secs(60),
        prepare: |_| {
            Ok(Setting {
                lacks: &["rdmsr-fault", "pit"],
                ..emulated(&["-M", "q35,hpet=off,pit=off", "-accel", "tcg", "-cpu", "max"])
            })
        },
        ..TCG
    },
    // No PIT, PIC, RTC, HPET, PM timer or PCI. Nothing tells the rate of the time-stamp counter; but
    // TCG's is this machine's, so the kernel can be told.
    Scenario {
        name: "microvm",
        host: "TCG, microvm without PIT, PIC and RTC",
        cpus: &[1, 2, 4],
        timeout: Duration::from_secs(60),
        prepare: |_| {
            Ok(Setting {
                lacks: &["rdmsr-fault", "pit", "pci", "rtc"],
                cmdline: format!("tsc-khz={}", host::tsc_khz()?),
                ..emulated(&["-M", MICROVM, "-accel", "tcg", "-cpu", "max"])
            })
        },
        ..TCG
    },
    // The rate of the time-stamp counter comes from the PIT, as there is no HPET and no PM timer.
    Scenario {
        name: "microvm-pit",
        host: "TCG, microvm with PIT, PIC and RTC",
        cpus: &[1],
        timeout: Duration::from_secs(60),
        prepare: |_| {
            Ok(Setting {
                lacks: &["rdmsr-fault", "pci"],
                ..emulated(&["-M", MICROVM_PIT, "-accel", "tcg", "-cpu", "max"])
            })
        },
        ..TCG
    },
];

pub(super) const TCG: Scenario = Scenario {
    name: "tcg",
    host: "TCG",
    default: false,
    word_size: WordSize::Bits64,
    roms: &[],
    backend: None,
    says: None,
    carrier: Carrier::Qemu,
    release: None,
    least_cpus: 1,
    most_cpus: u16::MAX,
    cpus: &[1, 2, 4, 8],
    figures: None,
    cmdline: "",
    disturbance: None,
    ending: Ending::DebugExit,
    timeout: Duration::from_secs(180),
    prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
};

/// The 32-bit kernel.
pub(super) const NATIVE32: Scenario = Scenario {
    name: "native32",
    host: "TCG, 32-bit",
    word_size: WordSize::Bits32,
    cpus: &[1, 2, 4],
    ..TCG
};

/// The TSC advances by one for each executed instruction.
const TCG_ICOUNT: Scenario = Scenario {
    name: "tcg-icount",
    host: "TCG, counting instructions",
    most_cpus: 1,
    cpus: &[1],
    figures: Some(figures::check),
    // Some of the benchmarks, so that they go on to work.
    cmdline: "measure bench=irq.enable_disable,cpuid,self_ipi_sti_nop",
    timeout: Duration::from_secs(60),
    prepare: |_| Ok(emulated(COUNTING)),
    ..TCG
};
