//! The ROM's test: a kernel that calls everything in it, on QEMU, for each setting of the ROM.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::{Host, Kvm};
use crate::qemu::{CONSOLE_ONLY, Options, PROGRAM};
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::End as ProcessEnd;
use crate::{appliance, guest, kernel};

use super::{Built, build, compile, malformed};

const KERNEL: &str = "vmi-rom-test";
/// The firmware's file that the ROM reads.
const SETTINGS: &str = "opt/org.pvops/vmi-rom";
/// It takes two seconds; a machine without VT-x or SVM is slow.
const TIMEOUT: Duration = Duration::from_secs(120);
/// In the appliance, Linux boots first.
const APPLIANCE_TIMEOUT: Duration = Duration::from_secs(240);
/// By isa-debug-exit.
const PASS: i32 = 33;
/// What the appliance says of it.
const APPLIANCE_PASS: &str = r#"@{"event":"guest_end","status":33}"#;
/// MiB.
const MEMORY: u32 = 128;

const TCG: &[&str] = &["-M", "q35", "-accel", "tcg", "-cpu", "max"];
const TCG_SMP: &[&str] = &["-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2"];
/// Another chipset, whose ROMs lie behind that of a graphics card, and a CPU without large pages.
const TCG_PC: &[&str] = &[
    "-M", "pc", "-accel", "tcg", "-cpu", "pentium3", "-device", "VGA",
];
const TCG_NO_PSE: &[&str] = &["-M", "q35", "-accel", "tcg", "-cpu", "max,-pse"];
const KVM: &[&str] = &["-M", "q35", "-accel", "kvm", "-cpu", "host"];

struct Boot {
    title: &'static str,
    machine: &'static [&'static str],
    /// Whether that machine is in the appliance with stock KVM.
    in_appliance: bool,
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
    in_appliance: false,
    settings: "",
    cmdline: "",
    rom: None,
};

const KVM_COUNTING: Boot = Boot {
    machine: KVM,
    settings: "kvm count",
    cmdline: "kvm count hypercalls",
    ..NATIVE
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
        title: "native with 2 CPUs",
        machine: TCG_SMP,
        cmdline: "smp",
        ..NATIVE
    },
    Boot {
        title: "counting with PAE and 2 CPUs",
        machine: TCG_SMP,
        settings: "count",
        cmdline: "count pae smp",
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
        ..KVM_COUNTING
    },
    Boot {
        title: "kvm on stock KVM",
        in_appliance: true,
        ..KVM_COUNTING
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
    let host = Host::detect(qemu.as_deref().unwrap_or_default());
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
        && !boot.in_appliance
        && let Some(reason) = lacks(host)
    {
        return Ok(End::Skipped(reason));
    }
    let mut malformed = malformed::ALL.iter();
    let rom = match malformed.find(|malformed| boot.rom == Some(malformed.name)) {
        Some(malformed) => rom.malformed(malformed)?,
        None => rom.path.clone(),
    };
    if boot.in_appliance {
        return in_appliance(boot, &rom, kernel);
    }
    let mut command = Command::new(PROGRAM);
    command.args(arguments(
        boot,
        &rom.to_string_lossy(),
        &kernel.to_string_lossy(),
    ));
    let (lines, end) = run_to_end(&mut command, TIMEOUT)?;
    Ok(judge(&lines, &end, end == ProcessEnd::Exit(Some(PASS))))
}

fn in_appliance(boot: &Boot, rom: &Path, kernel: &Path) -> anyhow::Result<End> {
    let target = kernel::target_directory(kernel)?.join("appliance");
    let appliance = match appliance::kvm::KVM.build(&target, &mut io::sink())? {
        Ok(appliance) => appliance,
        Err(reason) => return Ok(End::Skipped(reason)),
    };
    let options = Options {
        smp: 1,
        mem: MEMORY,
        cmdline: "",
        cpu_flags: "",
    };
    let files = appliance::kvm::files_of(&[rom.to_path_buf()])?;
    let rom = files.iter().map(|(path, _)| format!("/{path}"));
    let mut command = appliance::kvm::command(
        &appliance,
        kernel,
        &files,
        &arguments(boot, &rom.collect::<String>(), appliance::kvm::KERNEL),
        &options,
        APPLIANCE_TIMEOUT,
    )?;
    let (lines, end) = run_to_end(&mut command, APPLIANCE_TIMEOUT)?;
    let has_passed = lines.iter().any(|line| line == APPLIANCE_PASS);
    Ok(judge(&lines, &end, has_passed))
}

/// QEMU's arguments; the paths are where QEMU runs.
fn arguments(boot: &Boot, rom: &str, kernel: &str) -> Vec<String> {
    let memory = MEMORY.to_string();
    let settings = format!("name={SETTINGS},string={}", boot.settings);
    let mut arguments = boot.machine.to_vec();
    arguments.extend(CONSOLE_ONLY);
    arguments.extend(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    arguments.extend(["-m", &memory, "-no-reboot", "-option-rom", rom]);
    if !boot.settings.is_empty() {
        arguments.extend(["-fw_cfg", &settings]);
    }
    arguments.extend(["-kernel", kernel, "-append", boot.cmdline]);
    arguments.into_iter().map(String::from).collect()
}

fn run_to_end(
    command: &mut Command,
    timeout: Duration,
) -> anyhow::Result<(Vec<String>, ProcessEnd)> {
    let mut lines = Vec::new();
    let run = guest::run(command, timeout, &mut |line| {
        lines.push(String::from_utf8_lossy(&line.bytes).trim_end().to_string());
        Ok(ControlFlow::Continue(()))
    })?;
    lines.extend(run.diagnostics);
    Ok((lines, run.end))
}

fn judge(lines: &[String], end: &ProcessEnd, has_passed: bool) -> End {
    let mut results = lines
        .iter()
        .filter_map(|line| line.strip_prefix("result: "));
    match (has_passed, results.next()) {
        (true, Some(result)) => End::Passed(result.into()),
        _ => End::Failed(format!("{}\n{end:?}", lines.join("\n"))),
    }
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
