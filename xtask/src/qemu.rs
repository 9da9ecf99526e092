//! QEMU's command line.

use std::path::Path;
use std::process::Command;

use crate::scenario::{Ending, Scenario, Setting};

/// What the user may change about the machine.
pub(crate) struct Options<'a> {
    /// Number of virtual CPUs.
    pub(crate) smp: u16,
    /// Guest memory in MiB.
    pub(crate) mem: u32,
    /// More words for the kernel's command line.
    pub(crate) cmdline: &'a str,
}

/// QEMU with all arguments to boot `kernel` in `scenario`; the serial port is its standard
/// output.
pub(crate) fn command(
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
    kernel: &Path,
) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(setting.qemu)
        .args(["-display", "none", "-nodefaults"])
        .args(["-serial", "stdio"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .args(["-m", &options.mem.to_string()])
        .args(["-smp", &options.smp.to_string()])
        .arg("-kernel")
        .arg(kernel);
    // A reset must not look like the end. Where it would, the machine boots again instead, and
    // gives itself away by a second result.
    if scenario.ending != Ending::PowerOff {
        command.arg("-no-reboot");
    }
    let cmdline = kernel_cmdline(scenario, setting, options);
    if !cmdline.is_empty() {
        command.args(["-append", &cmdline]);
    }
    command
}

fn kernel_cmdline(scenario: &Scenario, setting: &Setting, options: &Options<'_>) -> String {
    let mut words = vec![scenario.cmdline.to_string()];
    if !setting.lacks.is_empty() {
        words.push(format!("host-lacks={}", setting.lacks.join(",")));
    }
    words.push(setting.cmdline.clone());
    words.push(options.cmdline.trim().to_string());
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    fn cmdline(scenario: usize, lacks: &'static [&'static str], cmdline: &str) -> String {
        let setting = Setting {
            qemu: &[],
            lacks,
            cmdline: String::new(),
            note: None,
        };
        let options = Options {
            smp: 1,
            mem: 128,
            cmdline,
        };
        kernel_cmdline(&SCENARIOS[scenario], &setting, &options)
    }

    #[test]
    fn the_kernel_is_told_its_mode_its_host_and_the_users_words() {
        assert_eq!(cmdline(0, &[], ""), "");
        assert_eq!(cmdline(0, &[], " only=irq.flags "), "only=irq.flags");
        assert_eq!(
            cmdline(2, &["int3", "hypercall"], "pv=native"),
            "measure host-lacks=int3,hypercall pv=native"
        );
    }
}
