//! The 32-bit kernel with option ROMs that say they speak VMI: the good one, and ones with a fault.

use std::time::Duration;

use super::setting::*;
use super::{Carrier, Scenario, native::NATIVE32};
use crate::figures;

pub(super) static SCENARIOS: &[Scenario] = &[
    VMI,
    // As it is for a guest that wants nothing counted: what need not be done is NOPs.
    Scenario {
        name: "vmi-plain",
        cpus: &[1],
        prepare: |_| Ok(vmi(PLAIN_ROM)),
        ..VMI
    },
    ICOUNT,
    // How often pieces of the kernel's work call the ROM.
    Scenario {
        name: "vmi-calls",
        figures: Some(figures::vmi::check_lazy),
        prepare: |_| Ok(vmi(COUNTING_ALL_ROM)),
        ..ICOUNT
    },
    // The same by a ROM without lazy mode.
    Scenario {
        name: "vmi-calls-eager",
        figures: Some(figures::vmi::check_eager),
        prepare: |_| Ok(vmi(COUNTING_ALL_EAGER_ROM)),
        ..ICOUNT
    },
    // A ROM without time calls is a good one.
    Scenario {
        name: "vmi-no-timer",
        prepare: |_| Ok(vmi(ROM_WITHOUT_TIMER)),
        ..VMI
    },
    // The ROM uses KVM's clock, steal time, ends of interrupts and hypercalls beneath VMI.
    Scenario {
        name: "vmi-kvm",
        host: "KVM with the VMI ROM, 32-bit",
        timeout: Duration::from_secs(120),
        prepare: vmi_kvm,
        ..VMI
    },
    Scenario {
        name: "vmi-kvm-l1",
        host: "TCG, Linux with KVM less one check, with the VMI ROM, 32-bit",
        carrier: Carrier::KvmAppliance(&[]),
        timeout: Duration::from_secs(240),
        prepare: |_| Ok(vmi_stock_kvm()),
        ..VMI
    },
    // What a guest only tells.
    Scenario {
        name: "vmi-bad-checksum",
        roms: &["bad-checksum"],
        backend: Some("vmi"),
        says: Some(" are its own, the checksum is 0xff and not 0"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-relocation-kind",
        roms: &["relocation-kind"],
        backend: Some("vmi"),
        says: Some("VMI_RDTSC: unknown relocation type 9"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-relocation-outside",
        roms: &["relocation-outside"],
        backend: Some("vmi"),
        says: Some("VMI_RDTSC: the code at 0xc8"),
        ..MALFORMED
    },
    // A bad one behind a good one.
    Scenario {
        name: "vmi-two",
        roms: &["vmi", "major-13"],
        backend: Some("vmi"),
        says: Some(" is not used: it speaks API 13, and this guest API 3"),
        ..MALFORMED
    },
    // What a guest does not use.
    Scenario {
        name: "vmi-long",
        roms: &["long"],
        says: Some(" is not used: its length of 130560 bytes can't be"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-major-13",
        roms: &["major-13"],
        says: Some(" is not used: it speaks API 13, and this guest API 3"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-license-outside",
        roms: &["license-outside"],
        says: Some(" is not used: its licence at 0xfff0 is not in the ROM"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-no-pci-header",
        roms: &["no-pci-header"],
        says: Some(" is not used: it has no PCI header"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-init-fails",
        roms: &["init-fails"],
        says: Some("not by the backend vmi: VMI_Init failed, and has left the machine as it was"),
        ..MALFORMED
    },
    Scenario {
        name: "vmi-no-iret",
        roms: &["no-iret"],
        says: Some("not by the backend vmi: the VMI ROM gives no IRET"),
        ..MALFORMED
    },
];

/// Told to count calls, which the kernel looks at.
const VMI: Scenario = Scenario {
    name: "vmi",
    host: "TCG with the VMI ROM, 32-bit",
    cpus: &[1, 2],
    roms: &["vmi"],
    backend: Some("vmi"),
    prepare: |_| Ok(vmi(COUNTING_ROM)),
    ..NATIVE32
};

/// Where the time-stamp counter counts instructions: what ops cost by the ROM.
const ICOUNT: Scenario = Scenario {
    name: "vmi-icount",
    host: "TCG counting instructions, with the VMI ROM, 32-bit",
    most_cpus: 1,
    cpus: &[1],
    cmdline: "measure only=irq.flags",
    figures: Some(figures::vmi::check_ops),
    prepare: |_| Ok(vmi(COUNTING)),
    ..VMI
};

/// The ROMs with a fault need not be looked at for long: most leave the kernel native.
const MALFORMED: Scenario = Scenario {
    cpus: &[1],
    backend: Some("native"),
    cmdline: "only=irq.flags,tasks.wild",
    prepare: |_| Ok(vmi(PLAIN_ROM)),
    ..VMI
};
