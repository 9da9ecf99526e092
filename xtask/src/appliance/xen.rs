//! The appliance that is Xen's dom0: Linux and Xen's tools, which run the kernel as other domains.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use xshell::cmd;

use super::{Appliance, Built};
use crate::grub::{self, Grub};
use crate::kernel::{self, MESSAGES};
use crate::qemu::{self, Options};
use crate::scenario::{Scenario, Setting};
use crate::xen;

pub(crate) static XEN: Appliance = Appliance {
    name: "xen-dom0",
    linux: "linux-image-amd64",
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

/// A domain that the kernel is run as.
pub(crate) struct Domain {
    /// As the appliance calls it.
    pub(crate) name: &'static str,
    /// As reports call it.
    pub(crate) report: &'static str,
    /// What `xl.cfg` says of its kind and of the kernel; `KERNEL` and `CMDLINE` stand for these, `DRIVES`
    /// for disks with GRUB and the kernel.
    configuration: &'static str,
    /// More words for the kernel.
    cmdline: &'static str,
    /// How often the toolstack restarts it.
    pub(crate) restarts: u32,
    /// What it lacks: the value of `host-lacks=`.
    lacks: &'static [&'static str],
}

/// One HVM domain has the kernel for its firmware: it is entered as by PVH, without a command line. It finds
/// that in xenstore. The other is booted by GRUB.
///
/// By default Xen emulates the time-stamp counter on a CPU that does not call its own invariant, as TCG's.
/// In PVH and HVM domains each reading is an exit then, of which there are more than of all others.
pub(crate) static DOMAINS: [Domain; 5] = [
    Domain {
        name: "pv",
        report: "xen-domu-pv",
        configuration: "type=\"pv\"\nkernel=\"KERNEL\"\ncmdline=\"CMDLINE\"\n",
        cmdline: "will-be-saved",
        restarts: 0,
        lacks: &["ring-0", "cr8", "com1", "pci", "pit", "rtc"],
    },
    Domain {
        name: "pvh",
        report: "xen-domu-pvh",
        configuration: PVH,
        cmdline: "will-be-saved",
        restarts: 0,
        lacks: PVH_LACKS,
    },
    Domain {
        name: "hvm",
        report: "xen-domu-hvm",
        configuration: "type=\"hvm\"\nfirmware_override=\"KERNEL\"\nvga=\"none\"\nvnc=0\n\
                        tsc_mode=\"native\"\n",
        cmdline: "",
        restarts: 0,
        lacks: &["com1", "cr8", "sti-shadow"],
    },
    Domain {
        name: "hvm-grub",
        report: "xen-domu-hvm-grub",
        configuration: "type=\"hvm\"\ndevice_model_args_hvm=[DRIVES]\nvga=\"none\"\nvnc=0\n\
                        tsc_mode=\"native\"\n",
        cmdline: "",
        restarts: 0,
        lacks: &["com1", "cr8", "sti-shadow"],
    },
    Domain {
        name: "reboot",
        report: "xen-domu-reboot",
        configuration: PVH,
        cmdline: "only=irq.flags,smp.online,smp.interrupts,xen.watch",
        restarts: 1,
        lacks: PVH_LACKS,
    },
];

const PVH: &str = "type=\"pvh\"\nkernel=\"KERNEL\"\ncmdline=\"CMDLINE\"\ntsc_mode=\"native\"\n";
const PVH_LACKS: &[&str] = &["com1", "pci", "pit", "rtc", "cr8", "sti-shadow"];
const KERNEL: &str = "guest/kernel";
/// Disks of the domain that is booted by GRUB, in their order.
const DISKS: [&str; 2] = ["guest/grub-disk", "guest/kernel-disk"];

/// What Xen, Linux and the tools want, in MiB, besides a domain's memory.
const OWN_MEMORY: u32 = 640;

/// Dom0's part of it, on Xen's command line.
const DOM0_MEMORY: &str = "dom0_mem=384M,max:384M";

/// One CPU runs all virtual ones, and many a check has one wait for another: by default a turn takes 10 ms.
const SCHEDULER: &str = "sched=credit sched_credit_tslice_ms=1";

const LINUX_CMDLINE: &str = "console=hvc0 quiet loglevel=1 panic=-1 mitigations=off nokaslr";

/// This machine's QEMU with all arguments to boot `hypervisor` and the appliance, which runs `kernel` as
/// each of [`DOMAINS`]. The machine itself has one CPU.
pub(crate) fn command(
    hypervisor: &Path,
    appliance: &Built,
    grub: &Grub,
    kernel: &Path,
    scenario: &Scenario,
    setting: &Setting,
    options: &Options<'_>,
) -> anyhow::Result<Command> {
    let cmdline = qemu::kernel_cmdline(scenario, setting, options);
    let kernel = fs::read(kernel).with_context(|| kernel.display().to_string())?;
    // The appliance can say what hangs, if it is given the time.
    let seconds = format!("{}\n", scenario.timeout.as_secs() / 5);
    let order: String = DOMAINS
        .iter()
        .map(|domain| format!("{}\n", domain.name))
        .collect();
    let mut files = vec![
        ("bin/xen-peer".into(), peer()?),
        ("guest/seconds".into(), seconds.into()),
        ("guest/order".into(), order.into()),
    ];
    for domain in &DOMAINS {
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
    let initramfs = appliance.initramfs_with(&files)?;
    let machine = Options {
        smp: 1,
        mem: OWN_MEMORY + options.mem,
        ..*options
    };
    let mut command = Command::new(qemu::PROGRAM);
    command
        // A path with a space in it would end there.
        .current_dir(
            initramfs
                .parent()
                .context("the appliance has no directory")?,
        )
        .args(qemu::machine(setting, &machine))
        .args([
            "-no-reboot",
            "-append",
            &format!("{} {DOM0_MEMORY} {SCHEDULER}", xen::CMDLINE),
        ])
        .arg("-kernel")
        .arg(hypervisor)
        .arg("-initrd")
        .arg(format!("linux {LINUX_CMDLINE},boot.cpio"));
    Ok(command)
}

impl Domain {
    fn boots_from_disk(&self) -> bool {
        self.configuration.contains("DRIVES")
    }
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
        domain.name, options.mem, options.smp
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
        for domain in &DOMAINS {
            let text = configuration(domain, "only=irq.flags", &options).unwrap();
            let of_kernel = match domain.boots_from_disk() {
                true => "\"file=/guest/kernel-disk,format=raw,if=ide,index=1\"]\n",
                false => "=\"/guest/kernel\"\n",
            };
            assert!(text.contains(of_kernel), "{text}");
            assert!(text.contains("\nmemory=64\nvcpus=2\n"), "{text}");
            assert_eq!(
                text.contains("\ncmdline=\"only=irq.flags\"\n"),
                ["pv", "pvh", "reboot"].contains(&domain.name)
            );
        }
        assert!(configuration(&DOMAINS[0], "\"", &options).is_err());
    }
}
