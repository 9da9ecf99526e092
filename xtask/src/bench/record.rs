//! A run on some hosts, and the file that it is kept in.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::benchmark::{Benchmark, Key};

pub(crate) struct Run {
    pub(crate) commit: String,
    /// Year, month and day.
    pub(crate) date: String,
    pub(crate) hosts: Vec<HostRun>,
}

pub(crate) struct HostRun {
    pub(crate) scenario: String,
    pub(crate) cpus: u16,
    /// Host software with its version.
    pub(crate) host: String,
    pub(crate) unit: Unit,
    /// Whether the figures say something about other machines, too.
    pub(crate) is_representative: bool,
    pub(crate) benchmarks: Vec<Benchmark>,
}

/// What a time-stamp counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Instructions,
    Ticks,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Ticks => "ticks",
        }
    }
}

/// How a host is called, which may be there with different numbers of CPUs.
pub(crate) fn label(scenario: &str, cpus: u16) -> String {
    match cpus {
        1 => scenario.into(),
        cpus => format!("{scenario}, {cpus} CPUs"),
    }
}

impl HostRun {
    pub(crate) fn label(&self) -> String {
        label(&self.scenario, self.cpus)
    }

    pub(crate) fn find(&self, key: &Key) -> Option<&Benchmark> {
        self.benchmarks
            .iter()
            .find(|benchmark| benchmark.key == *key)
    }
}

impl Run {
    pub(crate) fn to_json(&self) -> String {
        let hosts = self.hosts.iter().map(|host| {
            let benchmarks = host.benchmarks.iter().map(Benchmark::to_json);
            json!({
                "scenario": host.scenario, "cpus": host.cpus, "host": host.host,
                "unit": host.unit.name(), "is_representative": host.is_representative,
                "benchmarks": benchmarks.collect::<Vec<_>>(),
            })
        });
        let run = json!({
            "commit": self.commit, "date": self.date, "hosts": hosts.collect::<Vec<_>>(),
        });
        format!("{run:#}\n")
    }

    /// # Errors
    /// The file can't be read, or is none that [`to_json`](Self::to_json) wrote.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let text = fs::read_to_string(path).with_context(shown)?;
        Self::parse(&text).with_context(shown)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let run: Value = serde_json::from_str(text)?;
        Ok(Self {
            commit: string(&run, "commit")?,
            date: string(&run, "date")?,
            hosts: list(&run, "hosts")?
                .iter()
                .map(host)
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

fn host(value: &Value) -> anyhow::Result<HostRun> {
    let benchmarks = list(value, "benchmarks")?.iter().map(|benchmark| {
        let fields = benchmark.as_object().context("a benchmark is no object")?;
        Benchmark::parse(fields)
    });
    Ok(HostRun {
        scenario: string(value, "scenario")?,
        cpus: value["cpus"]
            .as_u64()
            .and_then(|cpus| cpus.try_into().ok())
            .context("\"cpus\" is no number of CPUs")?,
        host: string(value, "host")?,
        unit: match string(value, "unit")?.as_str() {
            "instructions" => Unit::Instructions,
            "ticks" => Unit::Ticks,
            other => bail!("unknown unit {other:?}"),
        },
        is_representative: value["is_representative"]
            .as_bool()
            .context("\"is_representative\" is not true or false")?,
        benchmarks: benchmarks.collect::<anyhow::Result<_>>()?,
    })
}

fn string(value: &Value, key: &str) -> anyhow::Result<String> {
    let text = value[key].as_str();
    Ok(text
        .with_context(|| format!("{key:?} is not a string"))?
        .into())
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a [Value]> {
    let list = value[key].as_array();
    Ok(list.with_context(|| format!("{key:?} is not a list"))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::benchmark::tests::costing;
    use super::*;

    pub(crate) fn on(scenario: &str, benchmarks: Vec<Benchmark>) -> HostRun {
        HostRun {
            scenario: scenario.into(),
            cpus: 1,
            host: format!("QEMU, {scenario}"),
            unit: Unit::Instructions,
            is_representative: true,
            benchmarks,
        }
    }

    pub(crate) fn run_of(hosts: Vec<HostRun>) -> Run {
        Run {
            commit: "abc".into(),
            date: "2026-01-02".into(),
            hosts,
        }
    }

    #[test]
    fn a_kept_run_is_the_same() {
        let run = run_of(vec![on(
            "tcg-icount",
            vec![costing("op", "a", "raw", 1, 3)],
        )]);
        let read = Run::parse(&run.to_json()).unwrap();
        assert_eq!(read.to_json(), run.to_json());
        assert!(Run::parse(&run.to_json().replace("instructions", "inches")).is_err());
        assert!(Run::parse("{}").is_err());
    }
}
