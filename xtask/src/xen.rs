//! Debian's Xen on this machine's QEMU, with the kernel as its first domain, dom0.
//!
//! TCG emulates all that Xen wants, SVM for the PVH mode included, so that every machine can do it.

mod accessed_bit;
mod boot;
mod console;
mod hypervisor;
mod log;

use std::path::Path;
use std::process::Command;

pub(crate) use self::boot::Xen;
pub(crate) use self::hypervisor::hypervisor;
use crate::kernel;
use crate::qemu::{self, Options};
use crate::scenario::{Scenario, Setting};

/// What Xen wants, in MiB, besides the kernel's memory.
const OWN_MEMORY: u32 = 128;

/// Xen says everything, by the serial port. `cpuidle=0`: with emulated MWAIT it panics when it idles.
pub(crate) const CMDLINE: &str =
    "com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all cpuidle=0";

/// For virtual CPUs that wait for each other. A turn takes 10 ms by default; and the default scheduler,
/// credit2, at times lets a virtual CPU wait for ever on TCG that could run.
pub(crate) const SCHEDULER: &str = "sched=credit sched_credit_tslice_ms=1";

/// This machine's QEMU with all arguments to boot `xen`, which gets `words` on its command line,
/// and `kernel` as dom0.
pub(crate) fn command(
    xen: &Path,
    kernel: &Path,
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
    words: &str,
) -> anyhow::Result<Command> {
    let target = kernel::target_directory(kernel)?;
    let name = kernel::path_in(target, kernel)?;
    let scheduler = if options.smp > 1 { SCHEDULER } else { "" };
    let mut command = Command::new(qemu::PROGRAM);
    command
        // A path with a space in it would end there.
        .current_dir(target)
        .args(qemu::machine(
            setting,
            &Options {
                mem: options.mem + OWN_MEMORY,
                smp: physical_cpus(options.smp),
                ..*options
            },
        ))
        .args(["-no-reboot", "-kernel", kernel::path_in(target, xen)?])
        .args([
            "-initrd",
            &module(name, &qemu::kernel_cmdline(scenario, setting, options)),
        ])
        .args([
            "-append",
            &format!(
                "{CMDLINE} {scheduler} dom0_max_vcpus={} {words}",
                options.smp
            ),
        ]);
    Ok(command)
}

/// CPUs of the machine: more virtual ones share them. A machine with two CPUs of its own would stop QEMU's
/// others at any time, and then Xen's clocks are milliseconds apart.
pub(crate) const MOST_PHYSICAL_CPUS: u16 = 2;

fn physical_cpus(virtual_cpus: u16) -> u16 {
    virtual_cpus.min(MOST_PHYSICAL_CPUS)
}

/// A Multiboot module as QEMU's `-initrd` takes it: a comma would separate it from another.
fn module(file: &str, cmdline: &str) -> String {
    format!("{file} {cmdline}").trim_end().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use std::ffi::OsStr;

    #[test]
    fn guests_do_not_see_where_the_checkout_is() {
        let setting = Setting {
            qemu: &[],
            lacks: &[],
            cmdline: String::new(),
            note: None,
        };
        let options = Options {
            smp: 1,
            mem: 128,
            cmdline: "",
            cpu_flags: "",
        };
        let target = Path::new("/some where/target");
        let files = ["appliance/xen", "guest/64/kernel"].map(|name| target.join(name));
        let scenario = scenario::find("xen-pv").unwrap();
        let command = command(&files[0], &files[1], scenario, &setting, &options, "").unwrap();
        assert_eq!(command.get_current_dir(), Some(target));
        let arguments: Vec<_> = command.get_args().filter_map(OsStr::to_str).collect();
        assert!(
            arguments
                .windows(2)
                .any(|pair| pair == ["-kernel", "appliance/xen"])
        );
        assert!(arguments.contains(&"guest/64/kernel"));
        assert!(
            arguments
                .iter()
                .all(|argument| !argument.contains("some where"))
        );
    }

    #[test]
    fn commas_do_not_separate_modules() {
        assert_eq!(module("kernel", ""), "kernel");
        assert_eq!(
            module("kernel", "host-lacks=pit,rtc only=irq.flags"),
            "kernel host-lacks=pit,,rtc only=irq.flags"
        );
    }
}
