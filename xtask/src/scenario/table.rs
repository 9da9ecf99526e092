//! All scenarios. An entry says only what sets it apart from the plain one of its kind.

use std::time::Duration;

use super::setting::*;
use super::{Carrier, Ending, Scenario, vmi};
use crate::appliance::xen::{DOMAINS, DOMAINS_32, MORE_DOMAINS};
use crate::disturbance::Disturbance;
use crate::kernel::WordSize;
use crate::{figures, host};

pub(crate) static SCENARIOS: &[Scenario] = &[
    Scenario {
        default: true,
        ..TCG
    },
    Scenario {
        default: true,
        ..KVM
    },
    NATIVE32,
    Scenario {
        name: "kvm32",
        host: "KVM, 32-bit",
        word_size: WordSize::Bits32,
        prepare: kvm32,
        ..KVM
    },
    Scenario {
        name: "kvm-l1-32",
        host: "TCG, Linux with KVM less one check, 32-bit",
        word_size: WordSize::Bits32,
        cpus: &[1, 2, 4],
        ..KVM_L1
    },
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
    vmi::VMI,
    Scenario {
        name: "native32-icount",
        host: "TCG, counting instructions, 32-bit",
        single_cpu: true,
        cpus: &[1],
        cmdline: "measure only=irq.flags",
        figures: Some(figures::vmi::check_ops),
        prepare: |_| Ok(emulated(COUNTING)),
        ..NATIVE32
    },
    vmi::PLAIN,
    vmi::ICOUNT,
    vmi::CALLS,
    vmi::CALLS_EAGER,
    vmi::NO_TIMER,
    vmi::KVM,
    vmi::KVM_L1,
    vmi::BAD_CHECKSUM,
    vmi::RELOCATION_KIND,
    vmi::RELOCATION_OUTSIDE,
    vmi::TWO,
    vmi::LONG,
    vmi::MAJOR_13,
    vmi::LICENSE_OUTSIDE,
    vmi::NO_PCI_HEADER,
    vmi::INIT_FAILS,
    vmi::NO_IRET,
    KVM_L1,
    // Whose Linux keeps swapping the guest's memory out.
    Scenario {
        name: "kvm-l1-swap",
        host: "TCG, Linux with KVM, swapping",
        cpus: &[2],
        cmdline: "only=kvm.fetched_pages",
        prepare: |_| Ok(swapping_kvm(KVM_Q35)),
        ..KVM_L1
    },
    // Whose Linux tells its own account of the time that the CPUs have waited to run.
    Scenario {
        name: "kvm-l1-steal",
        cpus: &[4],
        cmdline: "only=kvm.host_account",
        timeout: Duration::from_secs(120),
        prepare: |_| Ok(stock_kvm(KVM_Q35_NAMED_THREADS)),
        ..KVM_L1
    },
    // KVM's own leaves move to 0x40000100.
    Scenario {
        name: "kvm-l1-hyperv",
        host: "TCG, Linux with KVM as Hyper-V",
        cpus: &[1, 2, 4],
        prepare: |_| Ok(stock_kvm(KVM_Q35_HYPERV)),
        ..KVM_L1
    },
    // 10 million clock reads by 4 CPUs, with the clock's flag of stability and without.
    KVM_L1_CLOCK,
    Scenario {
        name: "kvm-l1-clock-unstable",
        prepare: |_| Ok(stock_kvm(KVM_Q35_UNSTABLE_CLOCK)),
        ..KVM_L1_CLOCK
    },
    // All of that counting instructions, KVM's own included.
    Scenario {
        name: "kvm-l1-icount",
        host: "TCG counting instructions, Linux with KVM",
        carrier: Carrier::KvmAppliance(COUNTING_ONLY),
        cpus: &[1],
        cmdline: "measure only=irq.flags",
        ..KVM_L1
    },
    TCG_ICOUNT,
    // What a shootdown costs takes more than one CPU.
    Scenario {
        name: "tcg-icount-smp",
        single_cpu: false,
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
    Scenario {
        name: "kvm-stop",
        host: "KVM, stopped and continued",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        timeout: Duration::from_secs(180),
        ..KVM
    },
    Scenario {
        name: "kvm-snapshot",
        host: "KVM, restored from a snapshot",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Snapshot),
        timeout: Duration::from_secs(180),
        ..KVM
    },
    Scenario {
        name: "kvm-migration",
        host: "KVM, migrated to another",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Migration),
        timeout: Duration::from_secs(180),
        ..KVM
    },
    Scenario {
        name: "kvm-l1-stop",
        host: "TCG, Linux with KVM, stopped and continued",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        ..KVM_L1
    },
    Scenario {
        name: "kvm-l1-snapshot",
        host: "TCG, Linux with KVM, restored from a snapshot",
        cpus: &[2],
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Snapshot),
        ..KVM_L1
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
    Scenario {
        name: "kvm-hand-over",
        host: "KVM, handed to another kernel",
        cpus: &[2],
        cmdline: "hand-over",
        ending: Ending::HandOver,
        timeout: Duration::from_secs(240),
        ..KVM
    },
    Scenario {
        name: "kvm-l1-hand-over",
        host: "TCG, Linux with KVM, handed to another kernel",
        cpus: &[2],
        cmdline: "hand-over",
        ending: Ending::HandOver,
        timeout: Duration::from_secs(360),
        ..KVM_L1
    },
    Scenario {
        name: "kvm-l1-hand-over-native",
        host: "TCG, Linux with KVM, swapping, handed to a kernel that ignores KVM",
        cpus: &[2],
        cmdline: "hand-over next-pv=native only=apic.self_interrupt,time.ticks,tasks.programs,\
                  smp.tasks,kvm.fetched_pages,hand_over.shared_pages",
        ending: Ending::HandOver,
        timeout: Duration::from_secs(360),
        prepare: |_| Ok(swapping_kvm(KVM_Q35)),
        ..KVM_L1
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
    Scenario {
        name: "microvm-kvm",
        host: "KVM, microvm without PIT, PIC and RTC",
        cpus: &[1, 2],
        prepare: kvm_microvm,
        ..KVM
    },
    XEN_PV,
    Scenario {
        name: "xen-pv-two-level",
        cpus: &[2],
        cmdline: "xen-events=2level",
        ..XEN_PV
    },
    // Counting instructions, Xen's own included.
    Scenario {
        name: "xen-pv-icount",
        host: "TCG counting instructions, Xen, as PV dom0",
        single_cpu: true,
        cpus: &[1],
        figures: Some(figures::xen::check),
        cmdline: "measure only=irq.flags",
        prepare: |_| Ok(counting_xen_pv()),
        ..XEN_PV
    },
    // For benchmarks: what takes more CPUs than one.
    Scenario {
        name: "xen-pv-icount-smp",
        host: "TCG counting instructions, Xen, as PV dom0",
        // By credit, a CPU that yields is away for a turn of 1 ms.
        carrier: Carrier::Xen("sched=credit2"),
        cpus: &[],
        prepare: |_| Ok(counting_xen_pv()),
        ..XEN_PV
    },
    // Xen traces what it does for the kernel's instructions.
    Scenario {
        name: "xen-pv-trace",
        cpus: &[1, 2],
        cmdline: "xen-trace",
        ..XEN_PV
    },
    // More CPUs than Xen's page has records for, on two of the machine's.
    Scenario {
        name: "xen-pv-many",
        cpus: &[40],
        cmdline: "only=smp.online,smp.events,smp.offline,xen.ipi,xen.vanished_segment",
        ..XEN_PV
    },
    XEN_PVH,
    // For benchmarks.
    Scenario {
        name: "xen-pvh-icount",
        host: "TCG counting instructions, Xen, as PVH dom0",
        single_cpu: true,
        cpus: &[],
        prepare: |_| Ok(counting_xen_pvh()),
        ..XEN_PVH
    },
    Scenario {
        name: "xen-pvh-two-level",
        cpus: &[2],
        cmdline: "xen-events=2level xen-callback=vector",
        ..XEN_PVH
    },
    // Xen starts the CPUs when it is called, not when INIT and start-up interrupts come.
    Scenario {
        name: "xen-pvh-start",
        cpus: &[2],
        cmdline: "xen-start=call only=smp.online,smp.interrupts,smp.events,smp.offline,xen.ipi",
        ..XEN_PVH
    },
    XEN_PVH32,
    Scenario {
        name: "xen-pvh32-two-level",
        cpus: &[2],
        cmdline: "xen-events=2level xen-callback=vector",
        ..XEN_PVH32
    },
    Scenario {
        name: "xen-pvh32-start",
        cpus: &[2],
        cmdline: "xen-start=call only=smp.online,smp.interrupts,smp.events,smp.offline,xen.ipi",
        ..XEN_PVH32
    },
    XEN_DOMU,
    Scenario {
        name: "xen-domu-more",
        carrier: Carrier::XenAppliance(MORE_DOMAINS),
        ..XEN_DOMU
    },
    Scenario {
        name: "xen-domu32",
        host: "TCG, Xen less one check, Linux as dom0, 32-bit",
        word_size: WordSize::Bits32,
        carrier: Carrier::XenAppliance(DOMAINS_32),
        ..XEN_DOMU
    },
];

const TCG: Scenario = Scenario {
    name: "tcg",
    host: "TCG",
    default: false,
    word_size: WordSize::Bits64,
    roms: &[],
    backend: None,
    says: None,
    carrier: Carrier::Qemu,
    single_cpu: false,
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

const KVM: Scenario = Scenario {
    name: "kvm",
    host: "KVM",
    cpus: &[1, 2, 4],
    timeout: Duration::from_secs(120),
    prepare: kvm,
    ..TCG
};

/// TCG emulates an AMD CPU with SVM; on it run Debian's Linux, its KVM and its QEMU.
const KVM_L1: Scenario = Scenario {
    name: "kvm-l1",
    host: "TCG, Linux with KVM",
    carrier: Carrier::KvmAppliance(&[]),
    timeout: Duration::from_secs(240),
    prepare: |_| Ok(stock_kvm(KVM_Q35)),
    ..TCG
};

const XEN_PV: Scenario = Scenario {
    name: "xen-pv",
    host: "TCG, Xen, as PV dom0",
    carrier: Carrier::Xen(""),
    cpus: &[1, 2, 4],
    timeout: Duration::from_secs(240),
    prepare: |_| Ok(xen_pv()),
    ..TCG
};

const XEN_PVH: Scenario = Scenario {
    name: "xen-pvh",
    host: "TCG, Xen, as PVH dom0",
    carrier: Carrier::Xen("dom0=pvh dom0-iommu=none"),
    cpus: &[1, 2, 4],
    timeout: Duration::from_secs(240),
    prepare: |_| Ok(xen_pvh()),
    ..XEN_PV
};

const XEN_DOMU: Scenario = Scenario {
    name: "xen-domu",
    host: "TCG, Xen, Linux as dom0",
    carrier: Carrier::XenAppliance(DOMAINS),
    cpus: &[2],
    cmdline: "end=toolstack",
    ending: Ending::PowerOff,
    timeout: Duration::from_secs(2400),
    prepare: |_| Ok(xen()),
    ..XEN_PV
};

const XEN_PVH32: Scenario = Scenario {
    name: "xen-pvh32",
    cpus: &[1, 2],
    host: "TCG, Xen less one check, as PVH dom0, 32-bit",
    word_size: WordSize::Bits32,
    ..XEN_PVH
};

const KVM_L1_CLOCK: Scenario = Scenario {
    name: "kvm-l1-clock",
    cpus: &[4],
    cmdline: "stress only=smp.clock",
    timeout: Duration::from_secs(120),
    ..KVM_L1
};

/// The TSC advances by one for each executed instruction.
const TCG_ICOUNT: Scenario = Scenario {
    name: "tcg-icount",
    host: "TCG, counting instructions",
    single_cpu: true,
    cpus: &[1],
    figures: Some(figures::check),
    // Some of the benchmarks, so that they go on to work.
    cmdline: "measure bench=irq.enable_disable,cpuid,self_ipi_sti_nop",
    timeout: Duration::from_secs(60),
    prepare: |_| Ok(emulated(COUNTING)),
    ..TCG
};
