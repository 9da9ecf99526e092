//! What Xen's calls save a PV guest, as the tables in `docs/xen.md`.

use std::io::Write;

use anyhow::{Context, bail};
use serde_json::Value;

use super::figure;
use crate::figures::Measurement;
use crate::lab::Lab;
use crate::qemu::Options;
use crate::scenario;
use crate::transcript::Verdict;

/// Boots the kernel twice on Xen, as both boots must count the same, and once without.
pub(super) fn tables(lab: &mut Lab, out: &mut dyn Write) -> anyhow::Result<String> {
    let xen = measurements("xen-pv-icount", lab, out)?;
    if measurements("xen-pv-icount", lab, out)? != xen {
        bail!("two boots do not count the same");
    }
    let native = measurements("tcg-icount", lab, out)?;
    Ok(format!(
        "{}\n{}\n{}",
        ways(&PAGE_TABLES, &xen)?,
        ways(&REGISTERS, &xen)?,
        workloads(&native, &xen)?
    ))
}

/// The same pieces of work in several ways.
struct Ways {
    /// Name of each way, and its heading.
    ways: &'static [(&'static str, &'static str)],
    /// Name of each piece of work, what it is, and how many there are in one round.
    works: &'static [(&'static str, &'static str, u64)],
}

static PAGE_TABLES: Ways = Ways {
    ways: &[
        ("instruction", "store"),
        ("call", "call each"),
        ("call_by_address", "call each, by address"),
        ("op", "op each"),
        ("batch", "ops in lazy mode"),
        ("list", "one call with a list"),
        ("before", "ops before Xen knows the table"),
    ],
    works: &[
        ("page_table", "an entry, filling a table of 512", 512),
        ("fork", "a page, forking 2,000", 2000),
    ],
};

static REGISTERS: Ways = Ways {
    ways: &[
        ("instruction", "instruction"),
        ("call", "call"),
        ("op", "op"),
    ],
    works: &[
        ("null", "nothing", 1),
        ("cr3", "CR3 of another address space", 1),
        ("debug_register", "a debug register", 1),
        ("fs_base", "the base of FS", 1),
        ("cpuid", "CPUID", 1),
        ("flush_page", "TLB, one page", 1),
        ("flush", "TLB, all", 1),
        ("task_switched", "TS cleared and set", 1),
        ("interrupt_flag", "interrupts on and off", 1),
        ("return", "a return from an interrupt", 1),
    ],
};

/// Name of each workload, and what it is.
const WORKLOADS: [(&str, &str); 6] = [
    ("thread_switch", "a switch to another thread"),
    ("syscall", "a system call"),
    ("program_switch", "a switch to another address space"),
    ("page_fault", "a page fault of a program"),
    ("fork_2000_pages", "a fork of 2,000 pages"),
    ("shootdown", "a shootdown, with one CPU"),
];

fn ways(ways: &Ways, measurements: &[Measurement]) -> anyhow::Result<String> {
    let headings: String = ways
        .ways
        .iter()
        .map(|(_, heading)| format!(" {heading} |"))
        .collect();
    let mut table = format!("| |{headings}\n|---|{}\n", "---|".repeat(ways.ways.len()));
    for (work, title, units) in ways.works {
        table.push_str(&format!("| {title} |"));
        for (way, _) in ways.ways {
            let cell = match find(measurements, &format!("xen.{work}.{way}")) {
                Some(found) => cell(found, *units)?,
                None => "-".into(),
            };
            table.push_str(&format!(" {cell} |"));
        }
        table.push('\n');
    }
    Ok(table)
}

fn cell(measurement: &Measurement, units: u64) -> anyhow::Result<String> {
    let (name, fields) = measurement;
    let refused = fields.get("refused").and_then(Value::as_u64);
    let cost = figure(each(measurement, name)? / units as f64);
    Ok(match refused {
        None | Some(0) => cost,
        Some(_) => format!("{cost}, refused"),
    })
}

fn workloads(native: &[Measurement], xen: &[Measurement]) -> anyhow::Result<String> {
    let mut table = String::from("| | without Xen | as PV guest |\n|---|---|---|\n");
    for (name, title) in WORKLOADS {
        let figures = [native, xen].map(|measurements| {
            let found = find(measurements, name).with_context(|| format!("no {name}"))?;
            anyhow::Ok(figure(each(found, name)?))
        });
        let [native, xen] = figures;
        table.push_str(&format!("| {title} | {} | {} |\n", native?, xen?));
    }
    Ok(table)
}

fn find<'a>(measurements: &'a [Measurement], name: &str) -> Option<&'a Measurement> {
    measurements.iter().find(|(found, _)| found == name)
}

/// What one round costs.
fn each((_, fields): &Measurement, name: &str) -> anyhow::Result<f64> {
    let number = |key| fields.get(key).and_then(Value::as_u64);
    match (number("cost"), number("rounds")) {
        (Some(cost), Some(rounds @ 1..)) => Ok(cost as f64 / rounds as f64),
        _ => bail!("{name} has no cost or no rounds"),
    }
}

pub(super) fn measurements(
    name: &str,
    lab: &mut Lab,
    out: &mut dyn Write,
) -> anyhow::Result<Vec<Measurement>> {
    let scenario = scenario::find(name)?;
    let options = Options {
        smp: 1,
        mem: 128,
        cmdline: "",
        cpu_flags: "",
    };
    let report = lab.boot_one(scenario, &options, out)?;
    match report.verdict {
        Verdict::Pass => Ok(report.transcript.measurements),
        Verdict::Skip(reason) | Verdict::Fail(reason) => bail!("{name}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn measured(name: &str, fields: Value) -> Measurement {
        let Value::Object(fields) = fields else {
            panic!("{fields} is no object")
        };
        (name.into(), fields)
    }

    #[test]
    fn each_way_is_told_by_the_unit() {
        let measurements = [
            measured(
                "xen.page_table.instruction",
                json!({"rounds": 1, "cost": 961_542}),
            ),
            measured("xen.page_table.batch", json!({"rounds": 1, "cost": 51_200})),
        ];
        let table = ways(&PAGE_TABLES, &measurements).unwrap();
        let line = table.lines().nth(2).unwrap();
        assert_eq!(
            line,
            "| an entry, filling a table of 512 | 1878 | - | - | - | 100.0 | - | - |"
        );
    }

    #[test]
    fn what_xen_refuses_is_told() {
        let refused = measured("a", json!({"rounds": 100, "cost": 163_700, "refused": 100}));
        assert_eq!(cell(&refused, 1).unwrap(), "1637, refused");
        assert!(cell(&measured("a", json!({"cost": 1})), 1).is_err());
    }

    #[test]
    fn every_workload_must_be_there() {
        let all = WORKLOADS.map(|(name, _)| measured(name, json!({"rounds": 2, "cost": 200})));
        let table = workloads(&all, &all).unwrap();
        assert!(
            table.ends_with("| a shootdown, with one CPU | 100.0 | 100.0 |\n"),
            "{table}"
        );
        assert!(workloads(&all[1..], &all).is_err());
    }
}
