//! What `cargo xtask test` counts.
//!
//! One line each of: a step that runs no tests of its own (format, lints, documentation,
//! builds); a host test, as the test harness counts it; a scenario, by its verdict; and
//! each check that a kernel reports in a scenario. A step of host tests that ends badly
//! without a failed test, because a test does not compile or crashes, is one failure.

use std::io::{self, Write};

use crate::outcome::Outcome;
use crate::render::printable;
use crate::report::Report;
use crate::transcript::Verdict;

/// Counts, and the names behind all that did not pass.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    pub(crate) fn pass(&mut self, count: u64) {
        self.passed += count;
    }

    pub(crate) fn fail(&mut self, count: u64, what: String) {
        self.failed += count;
        self.failures.push(what);
    }

    /// `what` with the reason.
    pub(crate) fn skip(&mut self, what: String) {
        self.skipped += 1;
        self.skips.push(what);
    }

    /// The scenario itself, and its checks.
    pub(crate) fn scenario(&mut self, report: &Report) {
        let name = report.scenario;
        let transcript = &report.transcript;
        self.pass(transcript.passed);
        match &report.verdict {
            Verdict::Pass => self.pass(1),
            Verdict::Fail(reason) => self.fail(1 + transcript.failed, format!("{name}: {reason}")),
            Verdict::Skip(reason) => self.skip(format!("{name}: {reason}")),
        }
        for (check, reason) in &transcript.skipped {
            self.skip(format!("{name}: {check}: {reason}"));
        }
    }

    /// Prints what was skipped and what failed, and the closing line.
    pub(crate) fn close(&self, out: &mut dyn Write) -> io::Result<Outcome> {
        for skip in &self.skips {
            writeln!(out, "skipped: {}", one_line(skip))?;
        }
        for failure in &self.failures {
            writeln!(out, "failed: {}", one_line(failure))?;
        }
        writeln!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )?;
        Ok(match self.failed {
            0 => Outcome::Passed,
            _ => Outcome::Failed,
        })
    }
}

/// Text from a guest must not imitate the closing line.
fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Line;
    use crate::transcript::Transcript;

    fn closing(tally: &Tally) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = tally.close(&mut out).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn steps_tests_scenarios_and_checks_are_summed() {
        let mut tally = Tally::default();
        tally.pass(1);
        tally.pass(20);
        tally.skip("host tests: slow (needs a day)".into());
        let mut transcript = Transcript::default();
        for (name, status) in [("a", "pass"), ("b", "pass"), ("c\\nd", "skip")] {
            let text = format!(
                r#"@{{"event":"check","name":"{name}","status":"{status}","detail":"why"}}"#
            );
            transcript.note(&Line {
                bytes: text.into_bytes(),
                overlong: false,
            });
        }
        let mut report = Report::skipped("tcg", String::new());
        report.transcript = transcript;
        report.verdict = Verdict::Pass;
        tally.scenario(&report);
        tally.scenario(&Report::skipped("kvm", "there is no /dev/kvm".into()));
        let expected = "\
skipped: host tests: slow (needs a day)
skipped: tcg: c d: why
skipped: kvm: there is no /dev/kvm
24 passed, 0 failed, 3 skipped
";
        assert_eq!(closing(&tally), (Outcome::Passed, expected.to_string()));

        report.verdict = Verdict::Fail("hung".into());
        tally.scenario(&report);
        let (outcome, text) = closing(&tally);
        assert_eq!(outcome, Outcome::Failed);
        assert!(text.ends_with("failed: tcg: hung\n26 passed, 1 failed, 4 skipped\n"));
    }
}
