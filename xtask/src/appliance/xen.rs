//! The appliance that is Xen's dom0: Linux and Xen's tools, which run the kernel as other domains.

mod domains;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use xshell::cmd;

pub(crate) use self::domains::{DOMAINS, DOMAINS_32, Domain, HVM_DOMAIN, MORE_DOMAINS};
use super::{Appliance, Built, linux};
use crate::grub::{self, Grub};
use crate::kernel::{self, MESSAGES};
use crate::qemu::{self, Options};
use crate::scenario::{Scenario, Setting};
use crate::xen;

pub(crate) static XEN: Appliance = Appliance {
    name: "xen-dom0",
    linux: "linux-image-amd64",
    prepare_linux: linux::unpacked,
    packages: &[
        "xen-system-amd64",
        "qemu-system-xen",
        "qemu-system-data",
        "seabios",
    ],
    programs: &[
        "usr/lib/xen-4.*/bin/xl",
        "usr/lib/xen-4.*/bin/libxl-save-helper",
        "usr/lib/xen-4.*/bin/xenconsoled",
        "usr/lib/xen-4.*/bin/xenconsole",
        "usr/lib/xen-4.*/bin/xen-init-dom0",
        "usr/lib/xen-4.*/bin/xenstored",
        // The device model of HVM domains.
        "usr/libexec/xen-qemu-system-i386",
    ],
    files: &[
        // What pthread_cancel loads, by which xl ends its threads.
        "lib/x86_64-linux-gnu/libgcc_s.so.1",
        "etc/xen/xl.conf",
        // The firmware of HVM domains. The BIOS is read also where the kernel takes the firmware's place.
        "usr/lib/xen-4.*/boot/hvmloader",
        "usr/share/seabios/bios-256k.bin",
        // Read even with no display.
        "usr/share/qemu/keymaps/en-us",
    ],
    modules: &[
        "xen-evtchn",
        "xen-privcmd",
        "xen-gntdev",
        "xen-gntalloc",
        "xenfs",
    ],
    script: include_str!("xen.sh"),
};

const KERNEL: &str = "guest/kernel";
/// Disks of the domain that is booted by GRUB, in their order.
const DISKS: [&str; 2] = ["guest/grub-disk", "guest/kernel-disk"];

/// What Xen, Linux and the tools want, in MiB, besides a domain's memory.
const OWN_MEMORY: u32 = 640;

/// A domain has so much less memory than other scenarios' kernel: the toolstack fills, saves and restores it
/// page by page.
const SMALLER: u32 = 4;

/// Dom0's part of it, on Xen's command line.
const DOM0_MEMORY: &str = "dom0_mem=384M,max:384M";

const LINUX_CMDLINE: &str = "console=hvc0 quiet loglevel=1 panic=-1 mitigations=off nokaslr";

/// This machine's QEMU with all arguments to boot `hypervisor` and the appliance, which runs `kernel` as
/// each of the scenario's domains. The machine itself has one CPU.
pub(crate) fn command(
    hypervisor: &Path,
    appliance: &Built,
    grub: &Grub,
    kernel: &Path,
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
) -> anyhow::Result<Command> {
    let domains = scenario.carrier.domains().unwrap_or_default();
    let cmdline = qemu::kernel_cmdline(scenario, setting, options);
    let target = kernel::target_directory(kernel)?;
    let kernel = fs::read(kernel).with_context(|| kernel.display().to_string())?;
    // The appliance can say what hangs, if it is given the time.
    let seconds = format!("{}\n", scenario.timeout.as_secs() / 5);
    let order: String = domains
        .iter()
        .map(|domain| format!("{}\n", domain.name))
        .collect();
    let mut files = vec![
        ("bin/xen-peer".into(), peer()?),
        ("guest/seconds".into(), seconds.into()),
        ("guest/order".into(), order.into()),
    ];
    for domain in domains {
        let lacks = domain.lacks.join(",");
        let cmdline = format!("{cmdline} {} host-lacks={lacks}", domain.cmdline);
        let configuration = configuration(domain, &cmdline, options)?;
        if domain.boots_from_disk() {
            let disks = grub.disks(&kernel, &cmdline)?;
            files.extend(
                DISKS
                    .map(String::from)
                    .into_iter()
                    .zip([disks.grub, disks.kernel]),
            );
        }
        files.push((format!("guest/{}.cfg", domain.name), configuration.into()));
        files.push((format!("guest/{}.cmdline", domain.name), cmdline.into()));
    }
    files.push((KERNEL.into(), kernel));
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| (path.as_str(), &content[..]))
        .collect();
    let (linux, initramfs) = (appliance.linux(), appliance.initramfs_with(&files)?);
    let linux = kernel::path_in(target, &linux)?;
    let initramfs = kernel::path_in(target, &initramfs)?;
    let machine = Options {
        smp: 1,
        mem: OWN_MEMORY + options.mem,
        ..*options
    };
    let mut command = Command::new(qemu::PROGRAM);
    command
        // A path with a space in it would end there.
        .current_dir(target)
        .args(qemu::machine(setting, &machine))
        .args([
            "-no-reboot",
            "-append",
            &format!("{} {DOM0_MEMORY} {}", xen::CMDLINE, xen::SCHEDULER),
        ])
        .args(["-kernel", kernel::path_in(target, hypervisor)?])
        .arg("-initrd")
        .arg(format!("{linux} {LINUX_CMDLINE},{initramfs}"));
    Ok(command)
}

/// The program that is the kernel's peer in dom0: for any Linux, as it brings all its libraries.
fn peer() -> anyhow::Result<Vec<u8>> {
    const NAME: &str = "xen-peer";
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    const STATIC: [&str; 2] = ["-C", "target-feature=+crt-static"];
    let shell = kernel::repository()?;
    let cargo = kernel::cargo();
    let command = cmd!(
        shell,
        "{cargo} rustc --package {NAME} --release --target {TARGET} {MESSAGES...} -- {STATIC...}"
    );
    let built = kernel::executable_of(command, NAME)?;
    let path = built.map_err(|messages| anyhow!("{}", String::from_utf8_lossy(&messages)))?;
    fs::read(&path).with_context(|| path.display().to_string())
}

/// What `xl create` reads, see xl.cfg(5). A domain that has ended stays, so that one can see how.
fn configuration(domain: &Domain, cmdline: &str, options: &Options<'_>) -> anyhow::Result<String> {
    if cmdline.contains(['"', '\\', '\n']) {
        bail!("{cmdline:?} cannot be said to xl");
    }
    let drives = DISKS.iter().enumerate();
    let drives = drives.flat_map(|(number, disk)| grub::drive(&format!("/{disk}"), number));
    let drives: Vec<_> = drives.map(|argument| format!("\"{argument}\"")).collect();
    let kind = domain
        .configuration
        .replace("KERNEL", &format!("/{KERNEL}"))
        .replace("DRIVES", &drives.join(","))
        .replace("CMDLINE", cmdline);
    let on_reboot = match domain.restarts {
        0 => "preserve",
        _ => "restart",
    };
    Ok(format!(
        "name=\"{}\"\n{kind}memory={}\nvcpus={}\n\
         on_poweroff=\"preserve\"\non_reboot=\"{on_reboot}\"\non_crash=\"preserve\"\n",
        domain.name,
        options.mem / SMALLER,
        options.smp
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_domain_has_its_kernel_and_memory() {
        let options = Options {
            smp: 2,
            mem: 64,
            cmdline: "",
            cpu_flags: "",
        };
        for domain in DOMAINS.iter().chain(MORE_DOMAINS) {
            let text = configuration(domain, "only=irq.flags", &options).unwrap();
            let of_kernel = match domain.boots_from_disk() {
                true => "\"file=/guest/kernel-disk,format=raw,if=ide,index=1\"]\n",
                false => "=\"/guest/kernel\"\n",
            };
            assert!(text.contains(of_kernel), "{text}");
            assert!(text.contains("\nmemory=16\nvcpus=2\n"), "{text}");
            assert_eq!(
                text.contains("\ncmdline=\"only=irq.flags\"\n"),
                ["pv", "pvh", "reboot"].contains(&domain.name)
            );
        }
        assert!(configuration(&DOMAINS[0], "\"", &options).is_err());
    }
}
