//! The domains that the appliance runs.

/// A domain that the kernel is run as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    /// As the appliance calls it.
    pub(crate) name: &'static str,
    /// As reports call it.
    pub(crate) report: &'static str,
    /// What `xl.cfg` says of its kind and of the kernel; `KERNEL` and `CMDLINE` stand for these, `DRIVES`
    /// for disks with GRUB and the kernel.
    pub(super) configuration: &'static str,
    /// More words for the kernel.
    pub(super) cmdline: &'static str,
    /// How often the toolstack restarts it.
    pub(crate) restarts: u32,
    /// What it lacks: the value of `host-lacks=`.
    pub(super) lacks: &'static [&'static str],
}

impl Domain {
    pub(super) fn boots_from_disk(&self) -> bool {
        self.configuration.contains("DRIVES")
    }
}

/// One of each kind. The HVM domain has the kernel for its firmware: it is entered as by PVH, without a
/// command line. It finds that in xenstore.
///
/// By default Xen emulates the time-stamp counter on a CPU that does not call its own invariant, as TCG's.
/// In PVH and HVM domains each reading is an exit then, of which there are more than of all others.
pub(crate) static DOMAINS: &[Domain] = &[
    Domain {
        name: "pv",
        report: "xen-domu-pv",
        configuration: "type=\"pv\"\nkernel=\"KERNEL\"\ncmdline=\"CMDLINE\"\n",
        cmdline: "will-be-saved",
        restarts: 0,
        lacks: &["ring-0", "cr8", "com1", "pci", "pit", "rtc"],
    },
    PVH,
    HVM,
];

/// One that GRUB boots, and one that xl restarts.
pub(crate) static MORE_DOMAINS: &[Domain] = &[
    HVM_GRUB,
    Domain {
        name: "reboot",
        report: "xen-domu-reboot",
        cmdline: "only=irq.flags,smp.online,smp.interrupts,xen.watch",
        restarts: 1,
        ..PVH
    },
];

/// For benchmarks; PV and PVH can be measured as dom0.
pub(crate) static HVM_DOMAIN: &[Domain] = &[HVM];

/// The same of the 32-bit kernel, which is not for PV: Debian's Xen has no 32-bit one.
pub(crate) static DOMAINS_32: &[Domain] = &[
    Domain {
        report: "xen-domu32-pvh",
        ..PVH
    },
    Domain {
        report: "xen-domu32-hvm",
        ..HVM
    },
];

const PVH: Domain = Domain {
    name: "pvh",
    report: "xen-domu-pvh",
    configuration: "type=\"pvh\"\nkernel=\"KERNEL\"\ncmdline=\"CMDLINE\"\ntsc_mode=\"native\"\n",
    cmdline: "will-be-saved",
    restarts: 0,
    lacks: &["com1", "pci", "pit", "rtc", "cr8", "sti-shadow", "xcr"],
};

const HVM: Domain = Domain {
    name: "hvm",
    report: "xen-domu-hvm",
    configuration: "type=\"hvm\"\nfirmware_override=\"KERNEL\"\nvga=\"none\"\nvnc=0\n\
                    tsc_mode=\"native\"\n",
    cmdline: "",
    restarts: 0,
    lacks: &["com1", "cr8", "sti-shadow", "xcr"],
};

const HVM_GRUB: Domain = Domain {
    name: "hvm-grub",
    report: "xen-domu-hvm-grub",
    configuration: "type=\"hvm\"\ndevice_model_args_hvm=[DRIVES]\nvga=\"none\"\nvnc=0\n\
                    tsc_mode=\"native\"\n",
    cmdline: "xen-callback=gsi xen-events=2level will-be-saved",
    ..HVM
};
