//! The result of one scenario, and the table of all.

use std::io::{self, Write};
use std::time::Duration;

use crate::protocol::Boot;
use crate::render::printable;
use crate::setup;
use crate::table;
use crate::transcript::{Transcript, Verdict};

/// One row of the table.
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    /// Number of virtual CPUs.
    pub(crate) cpus: u16,
    /// Host software with its version.
    pub(crate) host: String,
    pub(crate) transcript: Transcript,
    pub(crate) duration: Duration,
    pub(crate) verdict: Verdict,
}

impl Report {
    pub(crate) fn skipped(scenario: &'static str, reason: String) -> Self {
        Self {
            scenario,
            cpus: 0,
            host: "-".into(),
            transcript: Transcript::default(),
            duration: Duration::ZERO,
            verdict: Verdict::Skip(reason),
        }
    }

    /// It did not boot.
    pub(crate) fn failed(scenario: &'static str, reason: String) -> Self {
        Self {
            verdict: Verdict::Fail(reason),
            ..Self::skipped(scenario, String::new())
        }
    }

    /// What could be had is missing on this machine. That is no skip where it decides.
    pub(crate) fn lacking(scenario: &'static str, reason: String) -> Self {
        match setup::is_gate() {
            true => Self::failed(scenario, reason),
            false => Self::skipped(scenario, reason),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fail(_))
    }

    pub(crate) fn is_skipped(&self) -> bool {
        matches!(self.verdict, Verdict::Skip(_))
    }

    fn row(&self) -> Vec<String> {
        let none = || "-".to_string();
        let boot = self.transcript.boot.as_ref();
        let booted = !matches!(self.verdict, Verdict::Skip(_));
        let skipped_checks = self.transcript.skipped.len();
        let cells = [
            self.scenario.to_string(),
            match booted {
                true => self.cpus.to_string(),
                false => none(),
            },
            self.host.clone(),
            boot.map_or_else(none, |boot| boot.backend.clone()),
            boot.map_or_else(none, interfaces),
            boot.map_or_else(none, sites),
            match booted {
                true => format!(
                    "{}/{}/{skipped_checks}",
                    self.transcript.passed, self.transcript.failed
                ),
                false => none(),
            },
            match booted {
                true => format!("{:.2}", self.duration.as_secs_f64()),
                false => none(),
            },
            match &self.verdict {
                Verdict::Pass => "PASS".to_string(),
                Verdict::Fail(reason) => format!("FAIL: {reason}"),
                Verdict::Skip(reason) => format!("SKIP: {reason}"),
            },
        ];
        cells.iter().map(|cell| one_line(cell)).collect()
    }
}

/// Prints one row for each report.
pub(crate) fn print_table(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    let header = [
        "scenario",
        "CPUs",
        "host",
        "backend",
        "interfaces",
        "sites: inline/call/jump/nop/trap",
        "checks: ok/failed/skipped",
        "seconds",
        "verdict",
    ];
    let rows: Vec<_> = reports.iter().map(Report::row).collect();
    table::print(out, &header, &rows)
}

fn interfaces(boot: &Boot) -> String {
    if boot.interfaces.is_empty() {
        return "none".into();
    }
    let each = boot.interfaces.iter();
    let each = each.map(|interface| format!("{} {:#x}", interface.signature, interface.base));
    each.collect::<Vec<_>>().join(", ")
}

fn sites(boot: &Boot) -> String {
    let sites = boot.sites;
    format!(
        "{}: {}/{}/{}/{}/{}",
        sites.total, sites.inline, sites.call, sites.jump, sites.nop, sites.trap
    )
}

/// Text from a guest must not break the table.
fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Line;

    const BOOT: &str = r#"@{"event":"boot","protocol":"pvh v1","backend":"native","interfaces":[{"signature":"TCGTCGTCGTCG","base":1073741824,"max_leaf":1073741825}],"sites":{"total":120,"inline":80,"call":28,"jump":2,"nop":9,"trap":1}}"#;

    fn table(log: &[&str], verdict: Verdict) -> String {
        let mut transcript = Transcript::default();
        for line in log {
            transcript.note(&Line {
                bytes: line.as_bytes().to_vec(),
                overlong: false,
            });
        }
        let report = Report {
            scenario: "tcg",
            cpus: 2,
            host: "QEMU 7.2 TCG".into(),
            transcript,
            duration: Duration::from_millis(1234),
            verdict,
        };
        let skipped = Report::skipped("kvm", "there is no /dev/kvm".into());
        let mut out = Vec::new();
        print_table(&[report, skipped], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn booted_and_skipped_scenarios_share_a_table() {
        let ok = r#"@{"event":"check","name":"irq.flags","status":"pass"}"#;
        let skip = r#"@{"event":"check","name":"kvm.call","status":"skip"}"#;
        let expected = "\
scenario  CPUs  host          backend  interfaces               sites: inline/call/jump/nop/trap  checks: ok/failed/skipped  seconds  verdict
tcg       2     QEMU 7.2 TCG  native   TCGTCGTCGTCG 0x40000000  120: 80/28/2/9/1                  2/0/1                      1.23     PASS
kvm       -     -             -        -                        -                                 -                          -        SKIP: there is no /dev/kvm
";
        assert_eq!(table(&[BOOT, ok, ok, skip], Verdict::Pass), expected);
    }

    #[test]
    fn a_guest_cannot_add_rows() {
        let hostile = BOOT.replace("native", r"a\nb\u001b[1m");
        let table = table(&[&hostile], Verdict::Fail("x\ny".into()));
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("a b\u{fffd}[1m"));
        assert!(table.contains("FAIL: x y"));
    }
}
