//! `cargo xtask bench`: runs the kernel's benchmarks on hosts, side by side, and reports.

pub(crate) mod benchmark;
mod compare;
mod html;
mod markdown;
mod presentation;
mod record;
mod repeat;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::cmd;

use self::record::{HostRun, Run, Unit};
pub(crate) use self::repeat::test;
use crate::cli::BenchArguments;
use crate::host::Kvm;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::report::Report;
use crate::scenario::{self, Scenario};
use crate::transcript::Verdict;
use crate::{kernel, progress, setup, step};

/// Where counts are exact, whatever the machine, and numbers of CPUs. With several only what is about those
/// is run.
const DEFAULT: [(&str, u16); 10] = [
    ("tcg-icount", 1),
    ("xen-pv-icount", 1),
    ("xen-pvh-icount", 1),
    ("xen-hvm-icount", 1),
    ("kvm-l1-icount", 1),
    ("native32-icount", 1),
    ("vmi-icount", 1),
    ("tcg-icount-smp", 4),
    ("xen-pv-icount-smp", 4),
    ("kvm-l1-icount", 4),
];
const ABOUT_CPUS: &str =
    "ipi,ipi_halt,kick,ple_round_robin,shootdown,munmap,timer_storm,contended_lock";

/// Boots the scenarios, or shows a run that was kept, or compares two.
pub(crate) fn run(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if let [before, after] = &arguments.compare[..] {
        let (before, after) = (Run::load(before)?, Run::load(after)?);
        compare::print(&before, &after, out)?;
        return Ok(Outcome::Passed);
    }
    if let Some(path) = &arguments.kept {
        let directory = path.parent().context("a run is kept in a directory")?;
        write_reports(&Run::load(path)?, directory, out)?;
        return Ok(Outcome::Passed);
    }
    let boots = boots(arguments)?;
    let word_sizes: BTreeSet<_> = boots.iter().map(|(host, _)| host.word_size).collect();
    let qemu = setup::qemu(out)?;
    let shell = kernel::repository()?;
    // Of what is built now, not of what the files are when all has run.
    let commit = cmd!(shell, "git describe --always --dirty").read()?;
    let mut lab = Lab::new(qemu);
    let mut directory = PathBuf::new();
    for word_size in word_sizes {
        let Some(kernel) = kernel::build(word_size, out)? else {
            return Ok(Outcome::Failed);
        };
        directory = kernel::target_directory(&kernel)?.join("bench");
        lab.add_kernel(word_size, kernel);
    }
    let mut hosts = Vec::new();
    for &(scenario, cpus) in &boots {
        hosts.extend(boot(scenario, cpus, arguments, &mut lab, out)?);
    }
    if hosts.is_empty() {
        return Ok(Outcome::Failed);
    }
    let all_booted = hosts.len() == boots.len();
    let run = Run {
        commit,
        date: cmd!(shell, "date -u +%F").read()?,
        hosts,
    };
    write_reports(&run, &directory, out)?;
    Ok(match all_booted {
        true => Outcome::Passed,
        false => Outcome::Failed,
    })
}

/// What to boot, and with how many CPUs.
fn boots(arguments: &BenchArguments) -> anyhow::Result<Vec<(&'static Scenario, u16)>> {
    if arguments.scenarios.is_empty() {
        let boots = DEFAULT.iter();
        return boots
            .map(|&(name, cpus)| Ok((scenario::find(name)?, arguments.smp.unwrap_or(cpus))))
            .collect();
    }
    let scenarios = scenario::select(&arguments.scenarios, false)?;
    let boots = scenarios.into_iter();
    Ok(boots
        .map(|scenario| {
            let cpus = arguments.smp.unwrap_or_else(|| default_cpus(scenario));
            (scenario, cpus)
        })
        .collect())
}

/// As many as by default, or as many as it is tested with at most four.
fn default_cpus(scenario: &Scenario) -> u16 {
    match DEFAULT.iter().find(|(name, _)| *name == scenario.name) {
        Some(&(_, cpus)) => cpus,
        None => {
            let tested = scenario.cpus.iter().copied();
            tested.filter(|&cpus| cpus <= 4).max().unwrap_or(1)
        }
    }
}

/// The figures of one host; none, with the reason on `out`, if it did not get to its end.
fn boot(
    scenario: &Scenario,
    smp: u16,
    arguments: &BenchArguments,
    lab: &mut Lab,
    out: &mut dyn Write,
) -> anyhow::Result<Option<HostRun>> {
    let words = match &arguments.only {
        Some(names) => format!("bench={names}"),
        None if smp > 1 && arguments.scenarios.is_empty() => format!("bench={ABOUT_CPUS}"),
        None => "bench".into(),
    };
    // What the scenario asserts of its own figures is for `cargo xtask test`.
    let scenario = Scenario {
        cmdline: "only=irq.flags",
        figures: None,
        // It is more work than the self-test.
        timeout: 4 * scenario.timeout,
        ..*scenario
    };
    let options = Options {
        smp,
        mem: 128,
        cmdline: &words,
        cpu_flags: "",
    };
    let label = record::label(scenario.name, smp);
    let start = step::begin(&label, out)?;
    let mut log = Vec::new();
    let report = progress::during(&label, || lab.boot_one(&scenario, &options, &mut log))?;
    match &report.verdict {
        Verdict::Pass if report.transcript.benchmarks.is_empty() => {
            step::say_end("FAILED", "it reports no benchmark", start, out)?;
            Ok(None)
        }
        Verdict::Pass => {
            let remark = format!("{} figures", report.transcript.benchmarks.len());
            step::say_end("ok", &remark, start, out)?;
            Ok(Some(host_run(&scenario, report)))
        }
        Verdict::Skip(reason) => {
            step::say_end("skipped", reason, start, out)?;
            Ok(None)
        }
        Verdict::Fail(reason) => {
            step::say_end("FAILED", reason, start, out)?;
            out.write_all(&log)?;
            Ok(None)
        }
    }
}

fn host_run(scenario: &Scenario, report: Report) -> HostRun {
    let unit = match scenario.host.contains("counting instructions") {
        true => Unit::Instructions,
        false => Unit::Ticks,
    };
    let on_hardware =
        scenario.host.starts_with("KVM") && matches!(Kvm::detect(), Ok(Kvm::Hardware));
    HostRun {
        scenario: scenario.name.into(),
        cpus: report.cpus,
        host: report.host,
        unit,
        is_representative: unit == Unit::Instructions || on_hardware,
        benchmarks: report.transcript.benchmarks,
    }
}

fn write_reports(run: &Run, directory: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let files = [
        ("run.json", run.to_json()),
        ("report.md", markdown::report(run)),
        ("report.html", html::report(run)),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        say_written(&path, out)?;
    }
    Ok(())
}

fn say_written(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "wrote {}", kernel::shown_path(path).display())
}
