//! The ROM's test: a kernel that calls everything in it, on QEMU, for each setting of the ROM.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::guest;
use crate::host::{Host, Kvm};
use crate::qemu::{CONSOLE_ONLY, PROGRAM};
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::End as ProcessEnd;

use super::{Built, build, compile, malformed};

const KERNEL: &str = "vmi-rom-test";
/// The firmware's file that the ROM reads.
const SETTINGS: &str = "opt/org.pvops/vmi-rom";
/// It takes two seconds; a machine without VT-x or SVM is slow.
const TIMEOUT: Duration = Duration::from_secs(120);
/// By isa-debug-exit.
const PASS: i32 = 33;

const TCG: &[&str] = &["-M", "q35", "-accel", "tcg", "-cpu", "max"];
/// Another chipset, whose ROMs lie behind that of a graphics card, and a CPU without large pages.
const TCG_PC: &[&str] = &[
    "-M", "pc", "-accel", "tcg", "-cpu", "pentium3", "-device", "VGA",
];
const TCG_NO_PSE: &[&str] = &["-M", "q35", "-accel", "tcg", "-cpu", "max,-pse"];
const KVM: &[&str] = &["-M", "q35", "-accel", "kvm", "-cpu", "host"];

struct Boot {
    title: &'static str,
    machine: &'static [&'static str],
    /// What the ROM is told.
    settings: &'static str,
    /// What the kernel expects.
    cmdline: &'static str,
    /// The malformed ROM that is used, if not the good one.
    rom: Option<&'static str>,
}

const NATIVE: Boot = Boot {
    title: "native",
    machine: TCG,
    settings: "",
    cmdline: "",
    rom: None,
};

static BOOTS: &[Boot] = &[
    NATIVE,
    Boot {
        title: "native with PAE",
        cmdline: "pae",
        ..NATIVE
    },
    Boot {
        title: "native on an old PC",
        machine: TCG_PC,
        ..NATIVE
    },
    Boot {
        title: "native without large pages",
        machine: TCG_NO_PSE,
        cmdline: "no-apic",
        ..NATIVE
    },
    Boot {
        title: "counting",
        settings: "count",
        cmdline: "count",
        ..NATIVE
    },
    Boot {
        title: "without a timer",
        settings: "no-timer",
        cmdline: "no-timer",
        ..NATIVE
    },
    Boot {
        title: "kvm where there is none",
        settings: "kvm",
        ..NATIVE
    },
    Boot {
        title: "VMI_Init fails",
        cmdline: "init-fails",
        rom: Some("init-fails"),
        ..NATIVE
    },
    Boot {
        title: "kvm",
        machine: KVM,
        settings: "kvm count",
        cmdline: "kvm count",
        ..NATIVE
    },
];

/// Builds the ROM and the kernel and boots them in each way.
pub(crate) fn run(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut built = None;
    step::run("VMI ROM build", tally, out, || {
        let mut log = Vec::new();
        let (rom, kernel) = (build(&mut log)?, compile(KERNEL, &mut log)?);
        Ok(match (rom, kernel) {
            (Ok(rom), Ok(kernel)) => {
                let remark = rom.rom.description();
                built = Some((rom, kernel));
                End::Passed(remark)
            }
            (Err(messages), _) | (_, Err(messages)) => {
                End::Failed(String::from_utf8_lossy(&messages).into())
            }
        })
    })?;
    let Some((rom, kernel)) = built else {
        return Ok(());
    };
    let host = Host::detect();
    for boot in BOOTS {
        let title = format!("VMI ROM: {}", boot.title);
        step::run(&title, tally, out, || match qemu {
            Ok(_) => one(boot, &rom, &kernel, &host),
            Err(reason) => Ok(End::Skipped(reason.clone())),
        })?;
    }
    Ok(())
}

fn one(boot: &Boot, rom: &Built, kernel: &Path, host: &Host) -> anyhow::Result<End> {
    if boot.machine == KVM
        && let Some(reason) = lacks(host)
    {
        return Ok(End::Skipped(reason));
    }
    let mut malformed = malformed::ALL.iter();
    let rom = match malformed.find(|malformed| boot.rom == Some(malformed.name)) {
        Some(malformed) => rom.malformed(malformed)?,
        None => rom.path.clone(),
    };
    let mut command = Command::new(PROGRAM);
    command.args(boot.machine).args(CONSOLE_ONLY);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    command
        .args(["-m", "128", "-no-reboot", "-option-rom"])
        .arg(rom);
    if !boot.settings.is_empty() {
        let file = format!("name={SETTINGS},string={}", boot.settings);
        command.args(["-fw_cfg", &file]);
    }
    command.arg("-kernel").arg(kernel);
    command.args(["-append", boot.cmdline]);
    let mut lines = Vec::new();
    let run = guest::run(&mut command, TIMEOUT, &mut |line| {
        lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    let result = lines.last().and_then(|line| line.strip_prefix("result: "));
    Ok(match (run.end, result) {
        (ProcessEnd::Exit(Some(PASS)), Some(result)) => End::Passed(result.into()),
        (end, _) => {
            lines.extend(run.diagnostics);
            End::Failed(format!("{}\n{end:?}", lines.join("\n")))
        }
    })
}

fn lacks(host: &Host) -> Option<String> {
    match &host.kvm {
        Ok(Kvm::Hardware) => None,
        Ok(Kvm::Software) => Some(
            "this machine's /dev/kvm works without VT-x or SVM and refuses paging to a 32-bit \
             guest: it faults where the guest sets CR0.PG"
                .into(),
        ),
        Err(reason) => Some(reason.clone()),
    }
}
