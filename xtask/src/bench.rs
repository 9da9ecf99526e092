//! `cargo xtask bench`: runs the kernel's benchmarks on hosts, side by side, and reports.

pub(crate) mod benchmark;
mod compare;
mod html;
mod markdown;
mod presentation;
mod record;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use xshell::cmd;

use self::record::{HostRun, Run, Unit};
use crate::cli::BenchArguments;
use crate::host::{Host, Kvm};
use crate::kernel::WordSize;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::report::Report;
use crate::scenario::{self, Scenario};
use crate::transcript::Verdict;
use crate::{kernel, progress, setup, step};

/// Where counts are exact, whatever the machine. With more CPUs only what is about those is run.
const DEFAULT: [&str; 4] = [
    "tcg-icount",
    "tcg-icount-smp",
    "xen-pv-icount",
    "kvm-l1-icount",
];
const ABOUT_CPUS: &str = "ipi,shootdown";

/// Boots the scenarios, or compares two runs that were kept.
pub(crate) fn run(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if let [before, after] = &arguments.compare[..] {
        let (before, after) = (Run::load(before)?, Run::load(after)?);
        compare::print(&before, &after, out)?;
        return Ok(Outcome::Passed);
    }
    let names: Vec<String> = match arguments.scenarios.is_empty() {
        true => DEFAULT.map(String::from).into(),
        false => arguments.scenarios.clone(),
    };
    let scenarios = scenario::select(&names, false)?;
    if let Some(narrow) = scenarios
        .iter()
        .find(|scenario| scenario.word_size != WordSize::Bits64)
    {
        bail!("{}: only the 64-bit kernel has benchmarks", narrow.name);
    }
    let qemu = setup::qemu(out)?;
    let shell = kernel::repository()?;
    // Of what is built now, not of what the files are when all has run.
    let commit = cmd!(shell, "git describe --always --dirty").read()?;
    let Some(kernel) = kernel::build(WordSize::Bits64, out)? else {
        return Ok(Outcome::Failed);
    };
    let directory = kernel::target_directory(&kernel)?.join("bench");
    let mut lab = Lab::new(qemu);
    lab.add_kernel(WordSize::Bits64, kernel);
    let mut hosts = Vec::new();
    for scenario in scenarios {
        hosts.extend(boot(scenario, arguments, &mut lab, out)?);
    }
    if hosts.is_empty() {
        return Ok(Outcome::Failed);
    }
    let all_booted = hosts.len() == names.len();
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

/// The figures of one host; none, with the reason on `out`, if it did not get to its end.
fn boot(
    scenario: &Scenario,
    arguments: &BenchArguments,
    lab: &mut Lab,
    out: &mut dyn Write,
) -> anyhow::Result<Option<HostRun>> {
    let smp = arguments.smp.unwrap_or_else(|| default_cpus(scenario));
    let words = match &arguments.only {
        Some(names) => format!("bench={names}"),
        None if smp > 1 && arguments.smp.is_none() => format!("bench={ABOUT_CPUS}"),
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
    let start = step::begin(scenario.name, out)?;
    let mut log = Vec::new();
    let report = progress::during(scenario.name, || {
        lab.boot_one(&scenario, &options, &mut log)
    })?;
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

/// With several, as many as it is tested with at most four.
fn default_cpus(scenario: &Scenario) -> u16 {
    match scenario.single_cpu {
        true => 1,
        false => scenario
            .cpus
            .iter()
            .copied()
            .filter(|&n| n <= 4)
            .max()
            .unwrap_or(1),
    }
}

fn host_run(scenario: &Scenario, report: Report) -> HostRun {
    let unit = match scenario.host.contains("counting instructions") {
        true => Unit::Instructions,
        false => Unit::Ticks,
    };
    let on_hardware =
        scenario.host.starts_with("KVM") && matches!(Host::detect().kvm, Ok(Kvm::Hardware));
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
