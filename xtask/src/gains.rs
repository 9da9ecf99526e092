//! `cargo xtask gains`: what the features of KVM save, counted, as the table in `docs/kvm.md`.
//!
//! Each workload is a check of the kernel's self-test, run on stock KVM with the feature and without
//! it. KVM counts the exits; what booting takes is counted apart and subtracted, and so are the exits
//! for interrupts of the host itself. Instructions are all that the emulated machine has executed
//! during the check, KVM's own and those of other virtual CPUs included.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use anyhow::{Context, bail};

use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::scenario::Scenario;
use crate::transcript::Verdict;
use crate::{kernel, scenario, setup};

/// A feature and what shows it.
struct Row {
    feature: &'static str,
    workload: &'static str,
    /// The check that is the workload, and how often it does it.
    check: &'static str,
    rounds: u64,
    cpus: &'static [u16],
    /// What takes the feature away from QEMU's CPU.
    without: &'static str,
}

static ROWS: [Row; 5] = [
    Row {
        feature: "PV EOI",
        workload: "an interrupt to itself",
        check: "apic.self_interrupt",
        rounds: 100,
        cpus: &[1],
        without: "-kvm-pv-eoi",
    },
    Row {
        feature: "PV EOI",
        workload: "a tick of the event timer",
        check: "time.ticks",
        rounds: 20,
        cpus: &[1],
        without: "-kvm-pv-eoi",
    },
    Row {
        feature: "PV IPI",
        workload: "50 shootdowns by each CPU, all at once",
        check: "smp.crossed_shootdowns",
        rounds: 1,
        cpus: &[2, 4, 8],
        without: "-kvm-pv-ipi",
    },
    Row {
        feature: "PV TLB flush",
        workload: "a shootdown, and a read on each CPU",
        check: "smp.shootdown",
        rounds: 100,
        cpus: &[2, 4],
        without: "-kvm-pv-tlb-flush",
    },
    Row {
        feature: "PV unhalt",
        workload: "25 holds of a lock by each CPU, 200 us each",
        check: "smp.held_lock",
        rounds: 1,
        cpus: &[2, 4],
        without: "-kvm-pv-unhalt",
    },
];

/// What a boot counted.
#[derive(Clone, Copy)]
struct Counts {
    exits: u64,
    ticks: u64,
}

/// Boots all workloads and writes the table.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let qemu = setup::qemu(out)?;
    let Some(kernel) = kernel::build(out)? else {
        return Ok(Outcome::Failed);
    };
    let mut lab = Lab::new(kernel, qemu);
    let mut table = String::from(HEAD);
    for row in &ROWS {
        for &cpus in row.cpus {
            let without = per_round(&mut lab, row, cpus, row.without, out)?;
            let with = per_round(&mut lab, row, cpus, "", out)?;
            table.push_str(&format!(
                "| {} | {} | {cpus} | {:.1} | {:.1} | {} | {} |\n",
                row.feature, row.workload, without.0, with.0, without.1, with.1,
            ));
        }
    }
    let path = kernel::repository()?.current_dir().join("docs/kvm.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = replaced(&text, &table).context("docs/kvm.md has lost the table's marks")?;
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    write!(out, "{table}")?;
    Ok(Outcome::Passed)
}

const HEAD: &str = "\
| feature | workload | CPUs | exits without | exits with | instructions without | instructions with |
|---|---|---|---|---|---|---|
";
const START: &str = "<!-- Written by cargo xtask gains -->\n";
const END: &str = "<!-- End -->";

/// The text with another table between the marks.
fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}{table}{END}{after}"))
}

/// Exits and instructions of one round of the workload.
fn per_round(
    lab: &mut Lab,
    row: &Row,
    cpus: u16,
    cpu_flags: &str,
    out: &mut dyn Write,
) -> anyhow::Result<(f64, u64)> {
    /// A check that exits for nothing.
    const NOTHING: &str = "irq.flags";
    let booting = boot(lab, NOTHING, cpus, cpu_flags, out)?;
    let all = boot(lab, row.check, cpus, cpu_flags, out)?;
    let exits = all.exits.saturating_sub(booting.exits);
    Ok((exits as f64 / row.rounds as f64, all.ticks / row.rounds))
}

fn boot(
    lab: &mut Lab,
    check: &str,
    cpus: u16,
    cpu_flags: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Counts> {
    let options = Options {
        smp: cpus,
        mem: 128,
        cmdline: &format!("only={check}"),
        cpu_flags,
    };
    let scenario = Scenario {
        cmdline: "",
        ..*scenario::find("kvm-l1-icount")?
    };
    let report = lab.boot_one(&scenario, &options, out)?;
    match (&report.verdict, &report.transcript.last_passed) {
        (Verdict::Pass, Some((name, ticks))) if name == check => Ok(Counts {
            exits: guest_exits(&report.transcript.kvm_counters)?,
            ticks: *ticks,
        }),
        (Verdict::Skip(reason) | Verdict::Fail(reason), _) => bail!("{check}: {reason}"),
        _ => bail!("{check} did not run, so there is nothing to count"),
    }
}

/// Exits that the guest has caused.
fn guest_exits(counters: &BTreeMap<String, u64>) -> anyhow::Result<u64> {
    let all = counters.get("exits").context("KVM has counted no exits")?;
    let hosts = ["irq_exits", "signal_exits"].map(|name| *counters.get(name).unwrap_or(&0));
    Ok(all.saturating_sub(hosts.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_is_replaced() {
        let text = format!("a\n{START}old\n{END}\nb\n");
        let new = format!("a\n{START}new\n{END}\nb\n");
        assert_eq!(replaced(&text, "new\n"), Some(new));
        assert_eq!(replaced("a\n", "new\n"), None);
    }

    #[test]
    fn the_hosts_own_interrupts_are_not_the_guests() {
        let counters = |list: &[(&str, u64)]| -> BTreeMap<_, _> {
            list.iter()
                .map(|&(name, value)| (name.to_string(), value))
                .collect()
        };
        let found = counters(&[("exits", 100), ("irq_exits", 7), ("io_exits", 20)]);
        assert_eq!(guest_exits(&found).unwrap(), 93);
        assert!(guest_exits(&counters(&[("io_exits", 20)])).is_err());
    }
}
