//! `cargo xtask semver`: whether the public API of the packages still serves who has linked an earlier one.
//!
//! No step of `cargo xtask test`: the tool takes minutes to install, and before the first publication every
//! change is allowed.

use std::io::Write;

use anyhow::bail;
use xshell::cmd;

use crate::kernel;
use crate::outcome::Outcome;
use crate::publishing::LIBRARIES;

/// Compares the work tree with the git revision `baseline`, which need not be published.
pub(crate) fn run(baseline: &str, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let shell = kernel::repository()?;
    let cargo = kernel::cargo();
    let version = cmd!(shell, "{cargo} semver-checks --version").ignore_stderr();
    let Ok(version) = version.read() else {
        bail!(
            "cargo-semver-checks is not installed; run: cargo install cargo-semver-checks --locked"
        );
    };
    writeln!(out, "{version}, against {baseline}")?;
    out.flush()?;
    let check = cmd!(
        shell,
        "{cargo} semver-checks --baseline-rev {baseline} {LIBRARIES...}"
    );
    Ok(match check.quiet().run() {
        Ok(()) => Outcome::Passed,
        Err(_) => Outcome::Failed,
    })
}
