//! QEMU's command line.

use crate::scenario::{Ending, Scenario, Setting};

/// What the user may change about the machine.
#[derive(Clone, Copy)]
pub(crate) struct Options<'a> {
    /// Number of virtual CPUs.
    pub(crate) smp: u16,
    /// Guest memory in MiB.
    pub(crate) mem: u32,
    /// More words for the kernel's command line.
    pub(crate) cmdline: &'a str,
    /// What to add to QEMU's `-cpu`, such as `-kvm-pv-eoi`; may be empty.
    pub(crate) cpu_flags: &'a str,
}

/// QEMU's program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// QEMU's arguments to boot `kernel` in `scenario`; the serial port is its standard output.
pub(crate) fn arguments(
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
    kernel: &str,
) -> Vec<String> {
    let mut arguments = machine(setting, options);
    arguments.extend(["-kernel".into(), kernel.into()]);
    if scenario.ending == Ending::HandOver {
        // The kernel that it hands over to is a second copy of itself.
        arguments.extend(["-initrd".into(), kernel.into()]);
    }
    // A reset must not look like the end. Where it would, the machine boots again instead, and
    // gives itself away by a second result.
    if scenario.ending != Ending::PowerOff {
        arguments.push("-no-reboot".into());
    }
    let cmdline = kernel_cmdline(scenario, setting, options);
    if !cmdline.is_empty() {
        arguments.extend(["-append".into(), cmdline]);
    }
    arguments
}

/// QEMU's arguments for the machine; the serial port is its standard output.
pub(crate) fn machine(setting: &Setting, options: &Options<'_>) -> Vec<String> {
    let (memory, cpus) = (options.mem.to_string(), options.smp.to_string());
    let mut arguments: Vec<&str> = setting.qemu.to_vec();
    let position = arguments.iter().position(|&argument| argument == "-cpu");
    let model = position.and_then(|position| arguments.get_mut(position + 1));
    let flagged;
    if let Some(model) = model
        && !options.cpu_flags.is_empty()
    {
        flagged = format!("{model},{}", options.cpu_flags);
        *model = &flagged;
    }
    arguments.extend(CONSOLE_ONLY);
    arguments.extend(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    arguments.extend(["-m", &memory, "-smp", &cpus]);
    arguments.into_iter().map(String::from).collect()
}

/// No devices but the machine's own and a serial port.
pub(crate) const CONSOLE_ONLY: [&str; 5] = ["-display", "none", "-nodefaults", "-serial", "stdio"];

/// What the kernel is told.
pub(crate) fn kernel_cmdline(
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
) -> String {
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
    use crate::scenario;

    fn cmdline(scenario: &str, lacks: &'static [&'static str], cmdline: &str) -> String {
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
            cpu_flags: "",
        };
        kernel_cmdline(scenario::find(scenario).unwrap(), &setting, &options)
    }

    #[test]
    fn the_kernel_is_told_its_mode_its_host_and_the_users_words() {
        assert_eq!(cmdline("tcg", &[], ""), "");
        assert_eq!(cmdline("tcg", &[], " only=irq.flags "), "only=irq.flags");
        assert_eq!(
            cmdline("tcg-icount", &["int3", "hypercall"], "pv=native"),
            "measure bench=irq.enable_disable,cpuid,self_ipi_sti_nop host-lacks=int3,hypercall pv=native"
        );
    }
}
