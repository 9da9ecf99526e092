//! `cargo xtask test`: everything that must hold before a change goes in.

use std::io::{self, Write};
use std::time::Instant;

use xshell::{Cmd, Shell, cmd};

use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::report;
use crate::scenario::SCENARIOS;
use crate::setup::{self, KERNEL_TARGET};
use crate::tally::Tally;
use crate::transcript::Verdict;
use crate::{kernel, progress, tests_output};

/// Runs all steps, also after a failed one, and prints the counts.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    setup::rust_target(out)?;
    let shell = kernel::repository()?;
    let mut tally = Tally::default();
    for step in source_checks(&shell) {
        step.run(&mut tally, out)?;
    }
    // Before the tests: some look into the kernel's ELF file.
    let lab = build_kernel(&mut tally, out)?;
    for step in host_tests(&shell) {
        step.run(&mut tally, out)?;
    }
    boot_all(lab, &mut tally, out)?;
    Ok(tally.close(out)?)
}

/// A cargo command that must succeed.
struct Step<'a> {
    title: &'static str,
    command: Cmd<'a>,
    /// Whether it runs tests, which count for themselves.
    tests: bool,
}

fn source_checks(shell: &Shell) -> Vec<Step<'_>> {
    let cargo = &kernel::cargo();
    let step = |title, command| Step {
        title,
        command,
        tests: false,
    };
    let host = ["--workspace", "--exclude", "guest-kernel-demo"];
    let kernel = ["--package", "guest-kernel-demo", "--target", KERNEL_TARGET];
    vec![
        step("format", cmd!(shell, "{cargo} fmt --all --check")),
        step(
            "lints of the host workspace",
            cmd!(
                shell,
                "{cargo} clippy {host...} --all-targets -- -D warnings"
            ),
        ),
        // Flags from outside would replace the kernel's own in .cargo/config.toml.
        step(
            "lints of the kernel",
            cmd!(shell, "{cargo} clippy {kernel...} -- -D warnings").env_remove("RUSTFLAGS"),
        ),
        step(
            "documentation of the host workspace",
            cmd!(shell, "{cargo} doc {host...} --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
        ),
        step(
            "documentation of the kernel",
            cmd!(shell, "{cargo} doc {kernel...} --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
        ),
    ]
}

fn host_tests(shell: &Shell) -> [Step<'_>; 2] {
    let cargo = &kernel::cargo();
    // Another configuration of the same crates: in one directory each would undo the
    // other's build.
    let loom_target = std::env::var("CARGO_TARGET_DIR").unwrap_or("target".into()) + "/loom";
    [
        Step {
            title: "host tests",
            command: cmd!(
                shell,
                "{cargo} test --workspace --exclude guest-kernel-demo --no-fail-fast"
            ),
            tests: true,
        },
        Step {
            title: "interleavings of pvclock readers and writers",
            command: cmd!(
                shell,
                "{cargo} test --package pvops-core --release --test pvclock_loom"
            )
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", loom_target),
            tests: true,
        },
    ]
}

impl Step<'_> {
    /// Shows the command's output only when it failed, but then all of it.
    fn run(self, tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<()> {
        let start = Instant::now();
        write!(out, "{} ... ", self.title)?;
        out.flush()?;
        let shown = self.command.to_string();
        let command = self.command.ignore_status();
        let output = progress::during(self.title, || command.output())?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let counts = tests_output::count(&stdout);
        let failed_tests = counts.failed;
        let tests_run = counts.passed + failed_tests > 0;
        let good = output.status.success() && failed_tests == 0 && (tests_run || !self.tests);
        say_end(good, start, out)?;
        if self.tests {
            tally.pass(counts.passed);
            for test in counts.ignored {
                tally.skip(format!("{}: {test}", self.title));
            }
        } else if good {
            tally.pass(1);
        }
        if !good {
            tally.fail(failed_tests.max(1), self.title.into());
            writeln!(out, "$ {shown}")?;
            out.write_all(&output.stdout)?;
            out.write_all(&output.stderr)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

fn say_end(good: bool, start: Instant, out: &mut dyn Write) -> io::Result<()> {
    let word = if good { "ok" } else { "FAILED" };
    writeln!(out, "{word} ({:.1} s)", start.elapsed().as_secs_f64())
}

/// `None` when scenarios cannot run; the tally knows why.
fn build_kernel(tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<Option<Lab>> {
    let start = Instant::now();
    write!(out, "kernel build ... ")?;
    out.flush()?;
    let mut messages = Vec::new();
    let kernel = kernel::build(&mut messages)?;
    say_end(kernel.is_some(), start, out)?;
    let Some(kernel) = kernel else {
        out.write_all(&messages)?;
        tally.fail(1, "kernel build".into());
        skip_scenarios(tally, "the kernel does not compile");
        return Ok(None);
    };
    tally.pass(1);
    match setup::qemu(out) {
        Ok(qemu) => Ok(Some(Lab::new(kernel, qemu))),
        Err(error) => {
            let reason = format!("{error:#}");
            // Where this is the gate, a machine without QEMU must not open it.
            if std::env::var("CI").is_ok_and(|value| value == "true") {
                tally.fail(1, format!("scenarios: {reason}"));
            } else {
                skip_scenarios(tally, &reason);
            }
            Ok(None)
        }
    }
}

fn skip_scenarios(tally: &mut Tally, reason: &str) {
    for scenario in SCENARIOS {
        tally.skip(format!("{}: {reason}", scenario.name));
    }
}

fn boot_all(lab: Option<Lab>, tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(mut lab) = lab else {
        return Ok(());
    };
    let options = Options {
        smp: 1,
        mem: 128,
        cmdline: "",
    };
    let mut reports = Vec::new();
    for scenario in SCENARIOS {
        let start = Instant::now();
        write!(out, "scenario {} ... ", scenario.name)?;
        out.flush()?;
        let mut log = Vec::new();
        let report = lab.boot(scenario, &options, &mut log)?;
        match &report.verdict {
            Verdict::Skip(_) => writeln!(out, "skipped")?,
            Verdict::Pass => say_end(true, start, out)?,
            Verdict::Fail(_) => {
                say_end(false, start, out)?;
                out.write_all(&log)?;
            }
        }
        tally.scenario(&report);
        reports.push(report);
    }
    report::print_table(&reports, out)?;
    Ok(())
}
