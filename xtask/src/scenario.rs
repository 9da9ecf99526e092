//! The ways to boot the demo kernel.

use std::time::Duration;

use anyhow::bail;

pub(crate) use self::setting::Setting;
use crate::appliance::xen::Domain;
use crate::disturbance::Disturbance;
use crate::figures;
use crate::host::Host;
use crate::kernel::WordSize;

mod kvm;
mod native;
mod setting;
mod vmi;
mod xen;

/// One way to boot the kernel: host software and guest mode.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the kernel runs on, without QEMU's version.
    pub(crate) host: &'static str,
    /// Whether it is booted when no scenario is named.
    pub(crate) default: bool,
    /// Which kernel it boots.
    pub(crate) word_size: WordSize,
    /// The VMI ROMs that the machine has: names of their files.
    pub(crate) roms: &'static [&'static str],
    /// The backend that the kernel must come up by, if the scenario is about that.
    pub(crate) backend: Option<&'static str>,
    /// A part of what the kernel must say before its first check, if the scenario is about that.
    pub(crate) says: Option<&'static str>,
    /// What boots the kernel.
    pub(crate) carrier: Carrier,
    /// The release of Debian that Xen is of, by its code name, if not this machine's.
    pub(crate) release: Option<&'static str>,
    /// The fewest and the most CPUs that it makes sense with.
    pub(crate) least_cpus: u16,
    pub(crate) most_cpus: u16,
    /// Numbers of CPUs that it is tested with; none if it is for benchmarks only.
    pub(crate) cpus: &'static [u16],
    /// Where the time-stamp counter counts instructions: what asserts the figures.
    pub(crate) figures: Option<figures::Check>,
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
    /// GRUB from a disk of this machine's QEMU.
    Grub,
    /// QEMU in an appliance with stock KVM, which this machine's QEMU emulates, with more arguments.
    KvmAppliance(&'static [&'static str]),
    /// Xen on this machine's QEMU with more words on its command line; the kernel is dom0.
    Xen(&'static str),
    /// Xen on this machine's QEMU with an appliance as dom0, which runs the kernel as these domains, one
    /// after the other.
    XenAppliance(&'static [Domain]),
}

impl Carrier {
    /// With Xen, whose the serial port is then: the domains beside dom0.
    pub(crate) fn domains(self) -> Option<&'static [Domain]> {
        match self {
            Self::Xen(_) => Some(&[]),
            Self::XenAppliance(domains) => Some(domains),
            Self::Qemu | Self::Grub | Self::KvmAppliance(_) => None,
        }
    }
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
    /// By handing the machine to another kernel, which ends by isa-debug-exit.
    HandOver,
}

/// All of them. An entry of the lists says only what sets it apart from the plain one of its kind.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        native::SCENARIOS,
        kvm::SCENARIOS,
        vmi::SCENARIOS,
        xen::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// The scenarios called `names`; without names the default ones, with `all` all that are tested.
///
/// # Errors
/// A name is unknown; the error lists the known ones.
pub(crate) fn select(names: &[String], all: bool) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(self::all()
            .filter(|scenario| scenario.default || all && !scenario.cpus.is_empty())
            .collect());
    }
    names.iter().map(|name| find(name)).collect()
}

/// The scenario called `name`.
///
/// # Errors
/// There is none; the error lists the known ones.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    match all().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let known: Vec<_> = all().map(|scenario| scenario.name).collect();
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
            all()
                .filter(|scenario| !scenario.cpus.is_empty())
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
    fn counting_machines_have_neither_clock_nor_chance_of_this_one() {
        let host = Host {
            kvm: Err("there is none".into()),
            qemu_major: 7,
        };
        for scenario in all().filter(|scenario| scenario.host.contains("counting")) {
            let setting = (scenario.prepare)(&host).unwrap();
            let arguments = match scenario.carrier {
                Carrier::KvmAppliance(more) => more,
                _ => setting.qemu,
            };
            for wanted in ["-icount", "-rtc", "-seed"] {
                let name = scenario.name;
                assert!(arguments.contains(&wanted), "{name} has no {wanted}");
            }
        }
    }

    #[test]
    fn scenarios_are_tested_with_numbers_of_cpus_that_make_sense() {
        for scenario in all() {
            let sensible = scenario.least_cpus..=scenario.most_cpus;
            let tested = scenario.cpus.iter();
            let outside: Vec<_> = tested.filter(|cpus| !sensible.contains(cpus)).collect();
            assert!(outside.is_empty(), "{}: {outside:?}", scenario.name);
        }
    }

    #[test]
    fn an_unknown_scenario_lists_the_known_ones() {
        let error = select(&["tcg".into(), "xne".into()], false).err().unwrap();
        let error = error.to_string();
        assert!(
            error.starts_with("unknown scenario \"xne\"; known are tcg, native32, "),
            "{error}"
        );
        assert!(error.ends_with(", xen-domu32"), "{error}");
    }
}
