//! The appliance with stock KVM: Linux, its module for AMD's SVM, and Debian's QEMU.

mod accessed_bit;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{Appliance, Built};
use crate::qemu::{self, Options};

pub(crate) static KVM: Appliance = Appliance {
    name: "kvm",
    linux: "linux-image-cloud-amd64",
    prepare_linux: |image| image,
    packages: &["qemu-system-x86", "qemu-system-data", "seabios"],
    programs: &["usr/bin/qemu-system-x86_64"],
    files: &[
        "usr/share/seabios/bios-256k.bin",
        "usr/share/qemu/kvmvapic.bin",
        "usr/share/qemu/linuxboot_dma.bin",
        "usr/share/qemu/multiboot_dma.bin",
        "usr/share/qemu/pvh.bin",
    ],
    modules: &["kvm-amd", "loop"],
    script: include_str!("kvm.sh"),
};

/// Where the kernel under test is in the appliance.
pub(crate) const KERNEL: &str = "/guest/kernel";

/// The appliance's port that is this machine's second `-serial`.
pub(crate) const SECOND_SERIAL_PORT: &str = "/dev/ttyS1";

/// What Linux and QEMU want, in MiB, besides the guest's memory: the initramfs is there twice
/// while it is unpacked.
const OWN_MEMORY: u32 = 640;

/// One virtual CPU: with two, QEMU 7.2 runs nested guests in parallel, and some of them hang.
const MACHINE: [&str; 8] = ["-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1"];

/// Linux says nothing but why it dies, so as not to break the kernel's lines.
const CMDLINE: &str = "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off";

/// This machine's QEMU with all arguments to boot the appliance, whose QEMU gets `arguments`
/// to boot `kernel` with so many MiB of `memory`. The appliance has `files` too, by their path there.
pub(crate) fn command(
    appliance: &Built,
    kernel: &Path,
    files: &[(String, Vec<u8>)],
    arguments: &[String],
    options: &Options<'_>,
    timeout: Duration,
) -> anyhow::Result<Command> {
    let kernel = fs::read(kernel).with_context(|| kernel.display().to_string())?;
    // The appliance can say what hangs, if it is given the time.
    let seconds = format!("{}\n", timeout.as_secs() * 3 / 4);
    let arguments = lines(arguments)?;
    let mut all: Vec<(&str, &[u8])> = vec![
        (KERNEL.trim_start_matches('/'), &kernel),
        ("guest/arguments", arguments.as_bytes()),
        ("guest/seconds", seconds.as_bytes()),
    ];
    all.extend(
        files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice())),
    );
    let initramfs = appliance.initramfs_with(&all)?;
    let memory = (OWN_MEMORY + options.mem).to_string();
    let mut command = Command::new(qemu::PROGRAM);
    command
        .args(MACHINE)
        .args(qemu::CONSOLE_ONLY)
        .args(["-m", &memory, "-no-reboot", "-append", CMDLINE])
        .arg("-kernel")
        .arg(appliance.linux())
        .arg("-initrd")
        .arg(initramfs);
    Ok(command)
}

/// Files of this machine, each with its path in the appliance.
pub(crate) fn files_of(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let file = |path: &PathBuf| {
        let shown = path.display();
        let name = path
            .file_name()
            .with_context(|| format!("odd path {shown}"))?;
        let bytes = fs::read(path).with_context(|| shown.to_string())?;
        Ok((format!("guest/{}", name.display()), bytes))
    };
    paths.iter().map(file).collect()
}

/// The module `kvm` of the appliance as 32-bit guests need it, with its path there. When this KVM can't be
/// had so, the inner error is the reason.
///
/// # Errors
/// The appliance can't be read.
pub(crate) fn module_for_32_bit(
    appliance: &Built,
) -> anyhow::Result<Result<(String, Vec<u8>), String>> {
    const PATH: &str = "modules/kvm";
    let mut module = appliance.file(PATH)?;
    let allowed = accessed_bit::allow(&mut module);
    Ok(allowed.map(|()| (PATH.into(), module)))
}

/// The script reads one argument a line.
fn lines(arguments: &[String]) -> anyhow::Result<String> {
    if let Some(argument) = arguments.iter().find(|argument| argument.contains('\n')) {
        bail!("{argument:?} is more than one line");
    }
    Ok(arguments
        .iter()
        .map(|argument| format!("{argument}\n"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_argument_is_one_line() {
        let words = |words: &[&str]| words.iter().map(|&word| word.into()).collect::<Vec<_>>();
        let arguments = words(&["-append", "only=irq.flags end=poweroff"]);
        assert_eq!(
            lines(&arguments).unwrap(),
            "-append\nonly=irq.flags end=poweroff\n"
        );
        assert!(lines(&words(&["-append", "a\nb"])).is_err());
    }
}
