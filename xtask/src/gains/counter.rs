//! Boots a workload, and counts what it takes.
//!
//! KVM counts the exits; what booting takes is counted apart and subtracted, and so are the exits for
//! interrupts of the host itself. Instructions are all that the emulated machine has executed during
//! the check, KVM's own and those of other virtual CPUs included.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, bail};
use serde_json::Value;

use super::rows::{Count, Workload};
use crate::lab::Lab;
use crate::qemu::Options;
use crate::scenario::{self, Scenario};
use crate::transcript::{Transcript, Verdict};

/// A check that exits for nothing.
const NOTHING: &str = "irq.flags";

pub(super) struct Counter<'a> {
    lab: &'a mut Lab,
    out: &'a mut dyn Write,
    /// What was counted, by check, number of CPUs and flags.
    counted: BTreeMap<(&'static str, u16, &'static str), Counted>,
}

/// What a boot counted.
#[derive(Clone)]
struct Counted {
    exits: u64,
    instructions: u64,
    told: BTreeMap<String, u64>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(lab: &'a mut Lab, out: &'a mut dyn Write) -> Self {
        Self {
            lab,
            out,
            counted: BTreeMap::new(),
        }
    }

    pub(super) fn count(
        &mut self,
        workload: &Workload,
        cpus: u16,
        count: Count,
    ) -> anyhow::Result<f64> {
        let booting = self.counted(NOTHING, cpus, workload.cpu_flags)?;
        let all = self.counted(workload.check, cpus, workload.cpu_flags)?;
        let rounds = f64::from(workload.rounds);
        Ok(match count {
            Count::Exits => all.exits.saturating_sub(booting.exits) as f64 / rounds,
            Count::Instructions => all.instructions as f64 / rounds,
            Count::Told(key, _) => {
                let told = all.told.get(key);
                *told.with_context(|| format!("{} does not tell {key}", workload.check))? as f64
            }
        })
    }

    /// Boots it, unless that was done.
    fn counted(
        &mut self,
        check: &'static str,
        cpus: u16,
        cpu_flags: &'static str,
    ) -> anyhow::Result<Counted> {
        if let Some(counted) = self.counted.get(&(check, cpus, cpu_flags)) {
            return Ok(counted.clone());
        }
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
        let report = self.lab.boot_one(&scenario, &options, self.out)?;
        let transcript = &report.transcript;
        let counted = match (&report.verdict, &transcript.last_passed) {
            (Verdict::Pass, Some((name, ticks))) if name == check => Counted {
                exits: guest_exits(&transcript.kvm_counters)?,
                instructions: *ticks,
                told: told(transcript),
            },
            (Verdict::Skip(reason) | Verdict::Fail(reason), _) => bail!("{check}: {reason}"),
            _ => bail!("{check} did not run, so there is nothing to count"),
        };
        self.counted
            .insert((check, cpus, cpu_flags), counted.clone());
        Ok(counted)
    }
}

/// Exits that the guest has caused.
fn guest_exits(counters: &BTreeMap<String, u64>) -> anyhow::Result<u64> {
    let all = counters.get("exits").context("KVM has counted no exits")?;
    let hosts = ["irq_exits", "signal_exits"].map(|name| *counters.get(name).unwrap_or(&0));
    Ok(all.saturating_sub(hosts.iter().sum()))
}

/// The measurements that are one count.
fn told(transcript: &Transcript) -> BTreeMap<String, u64> {
    transcript
        .measurements
        .iter()
        .filter_map(|(name, fields)| {
            let count = fields.get("count").and_then(Value::as_u64)?;
            Some((name.clone(), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Line;

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

    #[test]
    fn the_kernel_tells_counts() {
        let mut transcript = Transcript::default();
        for line in [
            r#"@{"event":"measure","name":"longest_wait","count":3}"#,
            r#"@{"event":"measure","name":"syscall","rounds":1000,"cost":90006}"#,
        ] {
            transcript.note(&Line {
                bytes: line.into(),
                overlong: false,
            });
        }
        let expected = BTreeMap::from([("longest_wait".into(), 3)]);
        assert_eq!(told(&transcript), expected);
    }
}
