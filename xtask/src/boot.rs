//! `cargo xtask boot`: boots the kernel and shows what it found, patched and checked.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::bail;

use crate::cli::BootArguments;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::report::{self, Report};
use crate::{kernel, scenario, setup};

/// Boots the scenarios one after the other, then prints the table.
pub(crate) fn run(arguments: &BootArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let scenarios = scenario::select(&arguments.scenarios, arguments.all)?;
    let qemu = setup::qemu(out)?;
    let word_sizes: BTreeSet<_> = scenarios
        .iter()
        .map(|scenario| scenario.word_size)
        .collect();
    let mut lab = Lab::new(qemu);
    for word_size in word_sizes {
        let Some(kernel) = kernel::build(word_size, out)? else {
            return Ok(Outcome::Failed);
        };
        lab.add_kernel(word_size, kernel);
    }
    let mut reports = Vec::new();
    for scenario in scenarios {
        let least = scenario.cpus.iter().min().copied().unwrap_or(1);
        let options = Options {
            smp: arguments.smp.unwrap_or(least),
            mem: arguments.mem,
            cmdline: arguments.cmdline.as_deref().unwrap_or_default(),
            cpu_flags: arguments.cpu.as_deref().unwrap_or_default(),
        };
        reports.extend(lab.boot(scenario, &options, out));
    }
    report::print_table(&reports, out)?;
    outcome(&reports)
}

/// # Errors
/// Every scenario was skipped: that is no pass.
fn outcome(reports: &[Report]) -> anyhow::Result<Outcome> {
    if reports.iter().any(Report::has_failed) {
        Ok(Outcome::Failed)
    } else if reports.iter().all(Report::is_skipped) {
        bail!("this machine can boot none of the scenarios; the table says why");
    } else {
        Ok(Outcome::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Verdict;

    fn report(verdict: Verdict) -> Report {
        Report {
            verdict,
            ..Report::skipped("tcg", String::new())
        }
    }

    #[test]
    fn one_failure_fails_and_skips_alone_are_an_error() {
        let skip = || report(Verdict::Skip("no".into()));
        let fail = || report(Verdict::Fail("no".into()));
        let pass = || report(Verdict::Pass);
        assert_eq!(outcome(&[pass(), skip()]).unwrap(), Outcome::Passed);
        assert_eq!(outcome(&[pass(), fail()]).unwrap(), Outcome::Failed);
        assert_eq!(outcome(&[skip(), fail()]).unwrap(), Outcome::Failed);
        assert!(outcome(&[skip(), skip()]).is_err());
    }
}
