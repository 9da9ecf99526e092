//! The ways to boot the demo kernel, as one table.

use std::time::Duration;

use anyhow::bail;

use crate::disturbance::Disturbance;
use crate::host::{self, Host, Kvm};

/// One way to boot the kernel: host software and guest mode.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the kernel runs on, without QEMU's version.
    pub(crate) host: &'static str,
    /// Whether it is booted when no scenario is named.
    pub(crate) default: bool,
    /// What boots the kernel.
    pub(crate) carrier: Carrier,
    /// Whether the host runs one CPU only.
    pub(crate) single_cpu: bool,
    /// Numbers of CPUs that it is tested with.
    pub(crate) cpus: &'static [u16],
    /// Whether the time-stamp counter counts instructions, so that figures are asserted.
    pub(crate) counts_instructions: bool,
    /// Words for the kernel's command line.
    pub(crate) cmdline: &'static str,
    /// What the host does to the machine meanwhile, if anything.
    pub(crate) disturbance: Option<Disturbance>,
    /// How the kernel ends after a pass.
    pub(crate) ending: Ending,
    /// After this long without an end the boot is a hang.
    pub(crate) timeout: Duration,
    /// What the machine adds to the description, or why it cannot run the scenario.
    pub(crate) prepare: fn(&Host) -> Result<Setting, String>,
}

/// What boots a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// This machine's QEMU.
    Qemu,
    /// QEMU in an appliance with stock KVM, which this machine's QEMU emulates, with more arguments.
    KvmAppliance(&'static [&'static str]),
}

/// How a kernel ends that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By isa-debug-exit, which tells a pass from a failure.
    DebugExit,
    /// By turning the machine off.
    PowerOff,
    /// By resetting the machine.
    Reset,
}

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

pub(crate) static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "tcg",
        host: "TCG",
        default: true,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1, 2, 4, 8],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(180),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    Scenario {
        name: "kvm",
        host: "KVM",
        default: true,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1, 2, 4],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(120),
        prepare: kvm,
    },
    // TCG emulates an AMD CPU with SVM; on it run Debian's Linux, its KVM and its QEMU.
    Scenario {
        name: "kvm-l1",
        host: "TCG, Linux with KVM",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[1, 2, 4, 8],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(240),
        prepare: |_| Ok(stock_kvm(&["-M", "q35", "-accel", "kvm", "-cpu", "host"])),
    },
    // Whose Linux keeps swapping the guest's memory out.
    Scenario {
        name: "kvm-l1-swap",
        host: "TCG, Linux with KVM, swapping",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "only=kvm.fetched_pages",
        ending: Ending::DebugExit,
        disturbance: None,
        timeout: Duration::from_secs(240),
        prepare: |_| {
            Ok(Setting {
                lacks: &["sti-shadow"],
                ..stock_kvm(&["-M", "q35", "-accel", "kvm", "-cpu", "host"])
            })
        },
    },
    // KVM's own leaves move to 0x40000100.
    Scenario {
        name: "kvm-l1-hyperv",
        host: "TCG, Linux with KVM as Hyper-V",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[1, 2, 4],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(240),
        prepare: |_| {
            Ok(stock_kvm(&[
                "-M", "q35", "-accel", "kvm", "-cpu", HYPERV_CPU,
            ]))
        },
    },
    // 10 million clock reads by 4 CPUs, with the clock's flag of stability and without.
    Scenario {
        name: "kvm-l1-clock",
        host: "TCG, Linux with KVM",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[4],
        counts_instructions: false,
        cmdline: "stress only=smp.clock",
        ending: Ending::DebugExit,
        disturbance: None,
        timeout: Duration::from_secs(120),
        prepare: |_| Ok(stock_kvm(&["-M", "q35", "-accel", "kvm", "-cpu", "host"])),
    },
    Scenario {
        name: "kvm-l1-clock-unstable",
        host: "TCG, Linux with KVM",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[4],
        counts_instructions: false,
        cmdline: "stress only=smp.clock",
        ending: Ending::DebugExit,
        disturbance: None,
        timeout: Duration::from_secs(120),
        prepare: |_| {
            Ok(stock_kvm(&[
                "-M",
                "q35",
                "-accel",
                "kvm",
                "-cpu",
                UNSTABLE_CLOCK_CPU,
            ]))
        },
    },
    // All of that counting instructions, KVM's own included.
    Scenario {
        name: "kvm-l1-icount",
        host: "TCG counting instructions, Linux with KVM",
        default: false,
        carrier: Carrier::KvmAppliance(COUNTING_ONLY),
        single_cpu: false,
        cpus: &[1],
        counts_instructions: false,
        cmdline: "measure only=irq.flags",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(240),
        prepare: |_| Ok(stock_kvm(&["-M", "q35", "-accel", "kvm", "-cpu", "host"])),
    },
    // The TSC advances by one for each executed instruction.
    Scenario {
        name: "tcg-icount",
        host: "TCG, counting instructions",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: true,
        cpus: &[1],
        counts_instructions: true,
        cmdline: "measure",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(60),
        prepare: |_| Ok(emulated(COUNTING)),
    },
    // What a shootdown costs takes more than one CPU.
    Scenario {
        name: "tcg-icount-smp",
        host: "TCG, counting instructions",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2, 4],
        counts_instructions: true,
        cmdline: "measure only=smp.online",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(60),
        prepare: |_| Ok(emulated(COUNTING)),
    },
    Scenario {
        name: "tcg-poweroff",
        host: "TCG, turned off by ACPI",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1],
        counts_instructions: false,
        cmdline: "only=irq.flags end=poweroff",
        disturbance: None,
        ending: Ending::PowerOff,
        timeout: Duration::from_secs(20),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    Scenario {
        name: "tcg-reboot",
        host: "TCG, reset by the kernel",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1],
        counts_instructions: false,
        cmdline: "only=irq.flags end=reboot",
        disturbance: None,
        ending: Ending::Reset,
        timeout: Duration::from_secs(20),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    // The host disturbs the self-test.
    Scenario {
        name: "tcg-stop",
        host: "TCG, stopped and continued",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(180),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    Scenario {
        name: "tcg-snapshot",
        host: "TCG, restored from a snapshot",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Snapshot),
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(180),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    Scenario {
        name: "kvm-stop",
        host: "KVM, stopped and continued",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(180),
        prepare: kvm,
    },
    Scenario {
        name: "kvm-snapshot",
        host: "KVM, restored from a snapshot",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Snapshot),
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(180),
        prepare: kvm,
    },
    Scenario {
        name: "kvm-l1-stop",
        host: "TCG, Linux with KVM, stopped and continued",
        default: false,
        carrier: Carrier::KvmAppliance(&[]),
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "will-stop",
        disturbance: Some(Disturbance::Stop),
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(240),
        prepare: |_| Ok(stock_kvm(&["-M", "q35", "-accel", "kvm", "-cpu", "host"])),
    },
    // 10 million clock reads, 100,000 shootdowns.
    Scenario {
        name: "tcg-stress",
        host: "TCG, for longer",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[2],
        counts_instructions: false,
        cmdline: "stress",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(300),
        prepare: |_| Ok(emulated(&["-M", "q35", "-accel", "tcg", "-cpu", "max"])),
    },
    // No HPET and no PIT: the time-stamp counter is measured against the PM timer.
    Scenario {
        name: "tcg-pm-timer",
        host: "TCG, without HPET and PIT",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(60),
        prepare: |_| {
            let mut setting =
                emulated(&["-M", "q35,hpet=off,pit=off", "-accel", "tcg", "-cpu", "max"]);
            setting.lacks = &["rdmsr-fault", "pit"];
            Ok(setting)
        },
    },
    // No PIT, PIC, RTC, HPET, PM timer or PCI. Nothing tells the rate of the time-stamp counter; but
    // TCG's is this machine's, so the kernel can be told.
    Scenario {
        name: "microvm",
        host: "TCG, microvm without PIT, PIC and RTC",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1, 2, 4],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(60),
        prepare: |_| {
            let mut setting = emulated(&["-M", MICROVM, "-accel", "tcg", "-cpu", "max"]);
            setting.lacks = &["rdmsr-fault", "pit", "pci", "rtc"];
            setting.cmdline = format!("tsc-khz={}", host::tsc_khz()?);
            Ok(setting)
        },
    },
    // The rate of the time-stamp counter comes from the PIT, as there is no HPET and no PM timer.
    Scenario {
        name: "microvm-pit",
        host: "TCG, microvm with PIT, PIC and RTC",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(60),
        prepare: |_| {
            let mut setting = emulated(&["-M", MICROVM_PIT, "-accel", "tcg", "-cpu", "max"]);
            setting.lacks = &["rdmsr-fault", "pci"];
            Ok(setting)
        },
    },
    Scenario {
        name: "microvm-kvm",
        host: "KVM, microvm without PIT, PIC and RTC",
        default: false,
        carrier: Carrier::Qemu,
        single_cpu: false,
        cpus: &[1, 2, 4],
        counts_instructions: false,
        cmdline: "",
        disturbance: None,
        ending: Ending::DebugExit,
        timeout: Duration::from_secs(120),
        prepare: |host| {
            let setting = kvm(host)?;
            Ok(match host.kvm.as_ref()? {
                Kvm::Hardware => Setting {
                    qemu: &["-M", MICROVM, "-accel", "kvm", "-cpu", "host"],
                    lacks: &["evictions", "pit", "pci"],
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
                        "pit",
                        "pci",
                    ],
                    ..setting
                },
            })
        },
    },
];

const COUNTING: &[&str] = &[
    "-M",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm,base=2020-01-01",
];
const COUNTING_ONLY: &[&str] = COUNTING.split_at(6).1;

const MICROVM_PIT: &str = "microvm,pit=on,pic=on,rtc=on,isa-serial=on";
const MICROVM: &str = "microvm,pit=off,pic=off,rtc=off,isa-serial=on";

/// Features that need a hypercall are masked. IA32_ARCH_CAPABILITIES is too: KVM may list it on a
/// CPU that lacks it, and QEMU then aborts when it cannot set it.
const SOFTWARE_KVM_CPU: &str = "host,-arch-capabilities,kvm-pv-enforce-cpuid=on,\
                                -kvm-pv-unhalt,-kvm-pv-ipi,-kvm-pv-sched-yield";

/// All enlightenments that QEMU 7.2 and Linux 6.1 have on an AMD CPU.
const HYPERV_CPU: &str = "host,hv-relaxed,hv-vapic,hv-spinlocks=0x1fff,hv-vpindex,hv-runtime,\
                          hv-crash,hv-time,hv-synic,hv-stimer,hv-tlbflush,hv-ipi,hv-reset,\
                          hv-frequencies";

/// Then readings of different CPUs are not taken to agree.
const UNSTABLE_CLOCK_CPU: &str = "host,-kvmclock-stable-bit";

/// Stock KVM can do all that the kernel asks for. Not so TCG's SVM under it: where an exit comes
/// between STI and HLT, an interrupt can slip in too, and HLT waits for ever.
fn stock_kvm(qemu: &'static [&'static str]) -> Setting {
    Setting {
        qemu,
        lacks: &["sti-shadow", "evictions"],
        cmdline: String::new(),
        note: None,
    }
}

/// TCG reads any model-specific register, as 0 if it does not exist.
fn emulated(qemu: &'static [&'static str]) -> Setting {
    Setting {
        qemu,
        lacks: &["rdmsr-fault"],
        cmdline: String::new(),
        note: None,
    }
}

fn kvm(host: &Host) -> Result<Setting, String> {
    match host.kvm.as_ref()? {
        Kvm::Hardware => Ok(Setting {
            qemu: &["-M", "q35", "-accel", "kvm", "-cpu", "host"],
            lacks: &["evictions"],
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

/// The scenarios called `names`; without names the default ones, with `all` all.
///
/// # Errors
/// A name is unknown; the error lists the known ones.
pub(crate) fn select(names: &[String], all: bool) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS
            .iter()
            .filter(|scenario| all || scenario.default)
            .collect());
    }
    names.iter().map(|name| find(name)).collect()
}

/// The scenario called `name`.
///
/// # Errors
/// There is none; the error lists the known ones.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    match SCENARIOS.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!("unknown scenario {name:?}; known are {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selected: &[&Scenario]) -> Vec<&'static str> {
        selected.iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn selection_keeps_the_order_asked_for() {
        assert_eq!(names(&select(&[], false).unwrap()), ["tcg", "kvm"]);
        assert_eq!(
            names(&select(&[], true).unwrap()),
            SCENARIOS
                .iter()
                .map(|scenario| scenario.name)
                .collect::<Vec<_>>()
        );
        let asked = ["tcg-icount".to_string(), "tcg".to_string()];
        assert_eq!(
            names(&select(&asked, false).unwrap()),
            ["tcg-icount", "tcg"]
        );
    }

    #[test]
    fn an_unknown_scenario_lists_the_known_ones() {
        let error = select(&["tcg".into(), "xne".into()], false).err().unwrap();
        assert_eq!(
            error.to_string(),
            "unknown scenario \"xne\"; known are tcg, kvm, kvm-l1, kvm-l1-swap, kvm-l1-hyperv, kvm-l1-clock, kvm-l1-clock-unstable, kvm-l1-icount, tcg-icount, tcg-icount-smp, tcg-poweroff, tcg-reboot, tcg-stop, tcg-snapshot, kvm-stop, kvm-snapshot, kvm-l1-stop, tcg-stress, tcg-pm-timer, microvm, microvm-pit, microvm-kvm"
        );
    }

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
                "evictions"
            ]
        );
        assert!(software.qemu.last().unwrap().contains(",-kvm-pv-unhalt,"));
        assert_eq!(setting(Kvm::Hardware).lacks, ["evictions"]);
        assert_eq!(
            kvm_setting(Err("there is no /dev/kvm".into()))
                .err()
                .unwrap(),
            "there is no /dev/kvm"
        );
    }

    fn kvm_setting(kvm: Result<Kvm, String>) -> Result<Setting, String> {
        super::kvm(&Host { kvm })
    }
}
