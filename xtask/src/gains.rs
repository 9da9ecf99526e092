//! `cargo xtask gains`: what the features of a host save, counted, as the tables in `docs/kvm.md`,
//! `docs/xen.md` and `docs/vmi.md`.

mod counter;
mod rows;
mod vmi;
mod xen;

use std::fs;
use std::io::Write;

use anyhow::{Context, bail};

use crate::kernel::WordSize;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::steal::{Steal, apart_percent};
use crate::transcript::Verdict;
use crate::{kernel, scenario, setup};
use counter::Counter;
use rows::ROWS;

/// Writes the tables of Xen or VMI, if it is asked for; else those of KVM, for which it boots the workloads of
/// the rows that have `only` in their feature or workload.
pub(crate) fn run(only: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let qemu = setup::qemu(out)?;
    let (host, only) = match only {
        "xen" => ("xen", ""),
        "vmi" => ("vmi", ""),
        only => ("kvm", only),
    };
    let word_size = match host {
        "vmi" => WordSize::Bits32,
        _ => WordSize::Bits64,
    };
    let Some(kernel) = kernel::build(word_size, out)? else {
        return Ok(Outcome::Failed);
    };
    let docs = kernel::repository()?.current_dir().join("docs");
    let path = docs.join(host).with_extension("md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut lab = Lab::new(qemu);
    lab.add_kernel(word_size, kernel);
    let tables = match host {
        "xen" => xen::tables(&mut lab, out)?,
        "vmi" => vmi::tables(&mut lab, out)?,
        _ => format!(
            "{}\n{}",
            savings(only, &text, &mut Counter::new(&mut lab, out))?,
            steal(&mut lab, out)?
        ),
    };
    let text = replaced(&text, &tables).context("the document has lost the tables' marks")?;
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    write!(out, "{tables}")?;
    Ok(Outcome::Passed)
}

/// Each workload without the feature and with it; what is not asked for is as in the `old` text.
fn savings(only: &str, old: &str, counter: &mut Counter<'_>) -> anyhow::Result<String> {
    let mut table = String::from(
        "| feature | workload | CPUs | counted | without | with |\n|---|---|---|---|---|---|\n",
    );
    for row in &ROWS {
        for &cpus in row.cpus {
            for count in row.counts {
                let start = format!(
                    "| {} | {} | {cpus} | {} |",
                    row.feature,
                    row.workload,
                    count.name()
                );
                let line = if row.feature.contains(only) || row.workload.contains(only) {
                    let without = counter.count(&row.without, cpus, *count)?;
                    let with = counter.count(&row.with, cpus, *count)?;
                    format!("{start} {} | {} |", figure(without), figure(with))
                } else if let Some(line) = kept(old, &start) {
                    line.into()
                } else {
                    continue;
                };
                table.push_str(&line);
                table.push('\n');
            }
        }
    }
    Ok(table)
}

/// The line that begins so, if it was ever counted.
fn kept<'a>(old: &'a str, start: &str) -> Option<&'a str> {
    old.lines().find(|line| line.starts_with(start))
}

/// Small figures with a digit more.
fn figure(value: f64) -> String {
    let digits = usize::from(value < 1000.0);
    format!("{value:.digits$}")
}

/// The kernel's and the host's account of the time stolen.
fn steal(lab: &mut Lab, out: &mut dyn Write) -> anyhow::Result<String> {
    let scenario = scenario::find("kvm-l1-steal")?;
    let options = Options {
        smp: scenario.cpus[0],
        mem: 128,
        cmdline: "",
        cpu_flags: "",
    };
    let report = lab.boot_one(scenario, &options, out)?;
    match &report.verdict {
        Verdict::Pass => Ok(steal_table(&report.transcript.steal)),
        Verdict::Skip(reason) | Verdict::Fail(reason) => bail!("{}: {reason}", scenario.name),
    }
}

fn steal_table(steal: &Steal) -> String {
    let mut table = String::from(
        "| CPU | stolen, by the kernel | by the host's scheduler | apart |\n|---|---|---|---|\n",
    );
    for (cpu, kernel_ns, host_ns) in steal.by_cpu() {
        let apart = apart_percent(kernel_ns, host_ns);
        table.push_str(&format!(
            "| {cpu} | {kernel_ns} ns | {host_ns} ns | {apart:+.2} % |\n"
        ));
    }
    table
}

const START: &str = "<!-- Written by cargo xtask gains -->\n";
const END: &str = "<!-- End -->";

/// The text with other tables between the marks.
fn replaced(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}{tables}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tables_are_replaced() {
        let text = format!("a\n{START}old\n{END}\nb\n");
        let new = format!("a\n{START}new\n{END}\nb\n");
        assert_eq!(replaced(&text, "new\n"), Some(new));
        assert_eq!(replaced("a\n", "new\n"), None);
    }

    #[test]
    fn rows_are_kept_by_what_they_are_of() {
        let old = "| a | b | 2 | exits | 1.0 | 0.0 |\n| a | b | 4 | exits | 3.0 | 0.0 |\n";
        let line = kept(old, "| a | b | 4 | exits |");
        assert_eq!(line, Some("| a | b | 4 | exits | 3.0 | 0.0 |"));
        assert_eq!(kept(old, "| a | b | 8 | exits |"), None);
    }

    #[test]
    fn large_figures_are_whole() {
        let figures = [0.0, 1.06, 999.9, 1000.4].map(figure);
        assert_eq!(figures, ["0.0", "1.1", "999.9", "1000"]);
    }
}
