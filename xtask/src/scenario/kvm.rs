//! KVM: this machine's, and stock KVM on a CPU that TCG emulates.

use std::time::Duration;

use super::native::TCG;
use super::setting::*;
use super::{Carrier, Ending, Scenario};
use crate::disturbance::Disturbance;
use crate::kernel::WordSize;

pub(super) static SCENARIOS: &[Scenario] = &[
    Scenario {
        default: true,
        ..KVM
    },
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
    Scenario {
        name: "microvm-kvm",
        host: "KVM, microvm without PIT, PIC and RTC",
        cpus: &[1, 2],
        prepare: kvm_microvm,
        ..KVM
    },
];

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

const KVM_L1_CLOCK: Scenario = Scenario {
    name: "kvm-l1-clock",
    cpus: &[4],
    cmdline: "stress only=smp.clock",
    timeout: Duration::from_secs(120),
    ..KVM_L1
};
