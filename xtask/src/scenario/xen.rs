//! Xen under TCG: the kernel as its first domain, and as domain of a Linux.

use std::time::Duration;

use super::native::TCG;
use super::setting::*;
use super::{Carrier, Ending, Scenario};
use crate::appliance::xen::{DOMAINS, DOMAINS_32, HVM_DOMAIN, MORE_DOMAINS};
use crate::figures;
use crate::kernel::WordSize;
use crate::xen;

pub(super) static SCENARIOS: &[Scenario] = &[
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
        most_cpus: 1,
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
    // Xen traces what it does for the kernel's instructions, by CPUs of the machine.
    Scenario {
        name: "xen-pv-trace",
        most_cpus: xen::MOST_PHYSICAL_CPUS,
        cpus: &[1, 2],
        cmdline: "xen-trace",
        ..XEN_PV
    },
    // More CPUs than Xen's page has records for, on two of the machine's.
    Scenario {
        name: "xen-pv-many",
        least_cpus: 33,
        cpus: &[40],
        cmdline: "only=smp.online,smp.events,smp.offline,xen.ipi,xen.vanished_segment",
        ..XEN_PV
    },
    // Debian 13's Xen 4.20.
    Scenario {
        name: "xen-pv-trixie",
        release: Some("trixie"),
        cpus: &[2],
        ..XEN_PV
    },
    XEN_PVH,
    Scenario {
        name: "xen-pvh-trixie",
        release: Some("trixie"),
        cpus: &[2],
        ..XEN_PVH
    },
    // For benchmarks.
    Scenario {
        name: "xen-pvh-icount",
        host: "TCG counting instructions, Xen, as PVH dom0",
        most_cpus: 1,
        cpus: &[],
        prepare: counting_xen_pvh,
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
    // For benchmarks.
    Scenario {
        name: "xen-hvm-icount",
        host: "TCG counting instructions, Xen, as HVM domain beside Linux",
        carrier: Carrier::XenAppliance(HVM_DOMAIN),
        most_cpus: 1,
        cpus: &[],
        prepare: counting_xen_svm,
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
    prepare: xen_pvh,
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
    prepare: xen_svm,
    ..XEN_PV
};

const XEN_PVH32: Scenario = Scenario {
    name: "xen-pvh32",
    cpus: &[1, 2],
    host: "TCG, Xen less one check, as PVH dom0, 32-bit",
    word_size: WordSize::Bits32,
    ..XEN_PVH
};
