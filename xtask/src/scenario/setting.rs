//! What machine, accelerator and CPU QEMU is to show, and what the host then lacks.

use crate::host::{Host, Kvm};

/// What a scenario takes from the machine it runs on.
pub(crate) struct Setting {
    /// QEMU's arguments for machine, accelerator and CPU.
    pub(crate) qemu: &'static [&'static str],
    /// Abilities that the host lacks: the value of `host-lacks=`.
    pub(crate) lacks: &'static [&'static str],
    /// More words for the kernel's command line.
    pub(crate) cmdline: String,
    /// What to tell the reader about this host.
    pub(crate) note: Option<&'static str>,
}

/// TCG reads any model-specific register, as 0 if it does not exist.
pub(super) fn emulated(qemu: &'static [&'static str]) -> Setting {
    Setting {
        qemu,
        lacks: &["rdmsr-fault"],
        cmdline: String::new(),
        note: None,
    }
}

/// The same with a VMI ROM: where it executes RDPMC for the kernel, the kernel can't tell a fault of that
/// from another.
pub(super) fn vmi(qemu: &'static [&'static str]) -> Setting {
    Setting {
        lacks: &["rdmsr-fault", "rdpmc-fault"],
        ..emulated(qemu)
    }
}

/// Stock KVM can do all that the kernel asks for. Not so TCG's SVM under it: where an exit comes
/// between STI and HLT, an interrupt can slip in too, and HLT waits for ever; and KVM does not hear of
/// XSETBV, so that XCR0 is as before after the next exit.
pub(super) fn stock_kvm(qemu: &'static [&'static str]) -> Setting {
    Setting {
        qemu,
        lacks: &["sti-shadow", "xcr", "evictions"],
        cmdline: String::new(),
        note: None,
    }
}

/// The same, whose Linux keeps swapping the guest's memory out.
pub(super) fn swapping_kvm(qemu: &'static [&'static str]) -> Setting {
    Setting {
        lacks: &["sti-shadow", "xcr"],
        ..stock_kvm(qemu)
    }
}

/// TCG with SVM for Xen. With SMAP, TCG faults where a PV kernel executes IRET in ring 3; where Xen
/// intercepts RDTSCP, TCG exits as for RDTSC.
pub(super) fn xen() -> Setting {
    Setting {
        qemu: &["-accel", "tcg", "-cpu", "max,-smap,-rdtscp"],
        lacks: &[],
        cmdline: String::new(),
        note: None,
    }
}

/// The same, where the kernel is not in ring 0.
pub(super) fn xen_pv() -> Setting {
    Setting {
        lacks: &["ring-0", "cr8", "com1", "pci", "pit", "rtc"],
        ..xen()
    }
}

/// The same for a PVH dom0: COM1 and the PIT are Xen's own. Where a guest writes CR8, TCG ends by an
/// assertion; and it forgets the shadow of STI, and hides XSETBV from Xen, as under KVM.
pub(super) fn xen_pvh(host: &Host) -> Result<Setting, String> {
    Ok(Setting {
        lacks: &["com1", "pit", "cr8", "sti-shadow", "xcr"],
        ..xen_svm(host)?
    })
}

/// [`xen`] for guests in SVM's guest mode.
pub(super) fn xen_svm(host: &Host) -> Result<Setting, String> {
    match host.qemu_major {
        ..9 => Ok(xen()),
        _ => Err(
            "this QEMU's TCG exits to Xen where a guest reads CR2, which Xen does not want, and \
             Xen then gives the guest 0 (seen with QEMU 10.0; QEMU 7.2 does not)"
                .into(),
        ),
    }
}

/// [`xen_svm`], where the time-stamp counter counts instructions.
pub(super) fn counting_xen_svm(host: &Host) -> Result<Setting, String> {
    Ok(Setting {
        qemu: COUNTING_FOR_XEN,
        ..xen_svm(host)?
    })
}

/// The same, where the kernel is not in ring 0.
pub(super) fn counting_xen_pv() -> Setting {
    Setting {
        qemu: COUNTING_FOR_XEN,
        ..xen_pv()
    }
}

/// The same for a PVH dom0.
pub(super) fn counting_xen_pvh(host: &Host) -> Result<Setting, String> {
    Ok(Setting {
        qemu: COUNTING_FOR_XEN,
        ..xen_pvh(host)?
    })
}

/// As [`COUNTING`].
const COUNTING_FOR_XEN: &[&str] = &[
    "-accel",
    "tcg",
    "-cpu",
    "max,-smap,-rdtscp,-x2apic",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm,base=2020-01-01",
    "-seed",
    "1",
];

/// This machine's KVM.
pub(super) fn kvm(host: &Host) -> Result<Setting, String> {
    match host.kvm.as_ref()? {
        Kvm::Hardware => Ok(Setting {
            qemu: KVM_Q35,
            lacks: &["evictions", "overcommitment"],
            cmdline: String::new(),
            note: None,
        }),
        Kvm::Software => Ok(Setting {
            qemu: &["-M", "q35", "-accel", "kvm", "-cpu", SOFTWARE_KVM_CPU],
            lacks: &[
                "int3",
                "hypercall",
                "xcr",
                "syscall",
                "saved-ends",
                "evictions",
                "overcommitment",
            ],
            cmdline: String::new(),
            note: Some(
                "this machine's /dev/kvm works without VT-x or SVM: KVM interprets the \
                 kernel, can execute neither INT3 nor hypercalls, XGETBV or XSETBV, leaves a \
                 program that executes SYSCALL in user mode, and hears of every end of interrupt",
            ),
        }),
    }
}

/// This machine's KVM, for the 32-bit kernel. A KVM without VT-x or SVM raises #GP when paging is turned on
/// outside of long mode.
pub(super) fn kvm32(host: &Host) -> Result<Setting, String> {
    match host.kvm.as_ref()? {
        Kvm::Hardware => kvm(host),
        Kvm::Software => Err(
            "this machine's /dev/kvm works without VT-x or SVM, and has no paging in 32-bit mode"
                .into(),
        ),
    }
}

/// This machine's KVM with the VMI ROM, as [`kvm32`] and [`vmi`].
pub(super) fn vmi_kvm(host: &Host) -> Result<Setting, String> {
    Ok(Setting {
        qemu: KVM_ROM,
        lacks: &["rdpmc-fault", "evictions", "overcommitment"],
        ..kvm32(host)?
    })
}

/// Stock KVM with the VMI ROM.
pub(super) fn vmi_stock_kvm() -> Setting {
    Setting {
        lacks: &["sti-shadow", "xcr", "rdpmc-fault", "evictions"],
        ..stock_kvm(KVM_ROM)
    }
}

/// This machine's KVM with [`MICROVM`].
pub(super) fn kvm_microvm(host: &Host) -> Result<Setting, String> {
    let setting = kvm(host)?;
    Ok(match host.kvm.as_ref()? {
        Kvm::Hardware => Setting {
            qemu: &["-M", MICROVM, "-accel", "kvm", "-cpu", "host"],
            lacks: &["evictions", "overcommitment", "pit", "pci"],
            ..setting
        },
        Kvm::Software => Setting {
            qemu: &["-M", MICROVM, "-accel", "kvm", "-cpu", SOFTWARE_KVM_CPU],
            lacks: &[
                "int3",
                "hypercall",
                "xcr",
                "syscall",
                "saved-ends",
                "evictions",
                "overcommitment",
                "pit",
                "pci",
            ],
            ..setting
        },
    })
}

/// The time-stamp counter counts instructions. Nothing else changes from boot to boot either: the clock is the
/// machine's own, and RDRAND, which decides where Linux puts its programs, gives the same numbers. QEMU has x2APIC
/// registers since 9.0, and ends ("Bad icount read") where one that shows the time is read.
pub(super) const COUNTING: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max,-x2apic",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm,base=2020-01-01",
    "-seed",
    "1",
];
pub(super) const COUNTING_ONLY: &[&str] = COUNTING.split_at(6).1;

/// The ROM counts calls, and the time-stamp counter instructions.
pub(super) const COUNTING_ALL_ROM: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max,-x2apic",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm,base=2020-01-01",
    "-seed",
    "1",
    "-fw_cfg",
    "name=opt/org.pvops/vmi-rom,string=count",
];

/// The same without lazy mode.
pub(super) const COUNTING_ALL_EAGER_ROM: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max,-x2apic",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm,base=2020-01-01",
    "-seed",
    "1",
    "-fw_cfg",
    "name=opt/org.pvops/vmi-rom,string=count no-lazy",
];

pub(super) const PLAIN_ROM: &[&str] = COUNTING_ROM.split_at(6).0;

pub(super) const COUNTING_ROM: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-fw_cfg",
    "name=opt/org.pvops/vmi-rom,string=count",
];

pub(super) const ROM_WITHOUT_TIMER: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-fw_cfg",
    "name=opt/org.pvops/vmi-rom,string=no-timer",
];

/// The ROM uses what KVM has, and counts calls.
const KVM_ROM: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "kvm",
    "-cpu",
    "host",
    "-fw_cfg",
    "name=opt/org.pvops/vmi-rom,string=kvm count",
];

pub(super) const KVM_Q35: &[&str] = &["-M", "q35", "-accel", "kvm", "-cpu", "host"];

/// With threads whose names tell which CPU is whose.
pub(super) const KVM_Q35_NAMED_THREADS: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "kvm",
    "-cpu",
    "host",
    "-name",
    "guest,debug-threads=on",
];

/// With all enlightenments that QEMU 7.2 and Linux 6.1 have on an AMD CPU.
pub(super) const KVM_Q35_HYPERV: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "kvm",
    "-cpu",
    "host,hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-vpindex,hv-runtime,hv-crash,hv-time,hv-synic,\
     hv-stimer,hv-tlbflush,hv-ipi,hv-reset,hv-frequencies",
];

/// Then readings of different CPUs are not taken to agree.
pub(super) const KVM_Q35_UNSTABLE_CLOCK: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "kvm",
    "-cpu",
    "host,-kvmclock-stable-bit",
];

pub(super) const MICROVM_PIT: &str = "microvm,pit=on,pic=on,rtc=on,isa-serial=on";
pub(super) const MICROVM: &str = "microvm,pit=off,pic=off,rtc=off,isa-serial=on";

/// Features that need a hypercall are masked. IA32_ARCH_CAPABILITIES is too: KVM may list it on a
/// CPU that lacks it, and QEMU then aborts when it cannot set it.
const SOFTWARE_KVM_CPU: &str = "host,-arch-capabilities,kvm-pv-enforce-cpuid=on,\
                                -kvm-pv-unhalt,-kvm-pv-ipi,-kvm-pv-sched-yield";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_software_kvm_lacks_int3_and_hypercalls() {
        let setting = |kvm| kvm_setting(Ok(kvm)).unwrap();
        let software = setting(Kvm::Software);
        assert_eq!(
            software.lacks,
            [
                "int3",
                "hypercall",
                "xcr",
                "syscall",
                "saved-ends",
                "evictions",
                "overcommitment"
            ]
        );
        assert!(software.qemu.last().unwrap().contains(",-kvm-pv-unhalt,"));
        assert_eq!(
            setting(Kvm::Hardware).lacks,
            ["evictions", "overcommitment"]
        );
        assert_eq!(
            kvm_setting(Err("there is no /dev/kvm".into()))
                .err()
                .unwrap(),
            "there is no /dev/kvm"
        );
    }

    #[test]
    fn a_software_kvm_is_not_for_the_32_bit_kernel() {
        let setting = |kvm| super::kvm32(&host(Ok(kvm)));
        let reason = setting(Kvm::Software).err().unwrap();
        assert!(reason.contains("no paging in 32-bit mode"), "{reason}");
        assert_eq!(setting(Kvm::Hardware).unwrap().qemu, KVM_Q35);
    }

    fn kvm_setting(kvm: Result<Kvm, String>) -> Result<Setting, String> {
        super::kvm(&host(kvm))
    }

    fn host(kvm: Result<Kvm, String>) -> Host {
        Host { kvm, qemu_major: 7 }
    }

    #[test]
    fn guests_of_svm_want_a_qemu_that_lets_them_read_cr2() {
        let setting = |qemu_major| {
            let kvm = Err("there is none".into());
            xen_pvh(&Host { kvm, qemu_major })
        };
        assert!(setting(7).is_ok());
        let reason = setting(10).err().unwrap();
        assert!(reason.contains("CR2"), "{reason}");
    }
}
