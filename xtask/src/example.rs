//! Kernels of examples/, built as their readers build them, and booted.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::cmd;

use crate::kernel::{self, MESSAGES, WordSize};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario;
use crate::setup;
use crate::single_boot::SingleBoot;
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::{self, EXIT_STATUS_PASS};

/// An executable of an example, and where it is booted.
pub(crate) struct Example {
    pub(crate) title: &'static str,
    /// Its directory.
    pub(crate) name: &'static str,
    pub(crate) executable: &'static str,
    pub(crate) cargo_options: &'static [&'static str],
    pub(crate) boots: &'static [Boot],
}

/// A way to boot a kernel, and what it must say then.
pub(crate) struct Boot {
    pub(crate) scenario: &'static str,
    /// What lines begin with, in their order.
    pub(crate) lines: &'static [&'static str],
}

/// Runs `test`, of one example, alone, and prints the counts.
pub(crate) fn run(
    test: fn(&Result<String, String>, &mut Tally, &mut dyn Write) -> anyhow::Result<()>,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    setup::rust_target(WordSize::Bits64.target(), out)?;
    let qemu = setup::qemu(out).map_err(|error| format!("{error:#}"));
    let mut tally = Tally::default();
    test(&qemu, &mut tally, out)?;
    Ok(tally.close(out)?)
}

/// Builds the kernel and boots it; `qemu` is its name and version, or why it is missing.
pub(crate) fn test(
    example: &Example,
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut lab = qemu.as_ref().map(|qemu| Lab::new(qemu.clone()));
    let mut built = None;
    step::run(&format!("{} build", example.title), tally, out, || {
        Ok(
            match build(example.name, example.executable, example.cargo_options)? {
                Ok(kernel) => {
                    built = Some(kernel);
                    End::Passed(String::new())
                }
                Err(messages) => End::Failed(String::from_utf8_lossy(&messages).into()),
            },
        )
    })?;
    let Some(kernel) = built else { return Ok(()) };
    for boot in example.boots {
        let title = format!("{}, {}", example.title, boot.scenario);
        step::run(&title, tally, out, || match &mut lab {
            Ok(lab) => try_boot(lab, &kernel, boot),
            Err(reason) => Ok(setup::lacking(reason.clone())),
        })?;
    }
    Ok(())
}

/// Builds an executable of the example called `name`, in its directory and by its own settings. Gives the
/// path of a copy, or the compiler's messages.
pub(crate) fn build(
    name: &str,
    executable: &str,
    cargo_options: &[&str],
) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let shell = kernel::repository()?;
    let target = kernel::other_target_directory(name);
    shell.change_dir("examples");
    shell.change_dir(name);
    let cargo = kernel::cargo();
    let command = cmd!(
        shell,
        "{cargo} build --locked {cargo_options...} {MESSAGES...}"
    );
    let command = command
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS");
    match kernel::executable_of(command, executable)? {
        Ok(path) => keep_copy(&path).map(Ok),
        Err(messages) => Ok(Err(messages)),
    }
}

/// Where [`Lab`] finds what it keeps beside kernels, and the next build leaves it.
fn keep_copy(executable: &Path) -> anyhow::Result<PathBuf> {
    // <target directory>/minimal-kernel/x86_64-unknown-none/release/minimal-kernel
    let target = kernel::target_directory(executable)?.parent();
    let name = executable.file_name().context("no name")?;
    let directory = target
        .context("odd target directory")?
        .join("guest/minimal");
    let copy = directory.join(name);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    fs::copy(executable, &copy).with_context(|| copy.display().to_string())?;
    Ok(copy)
}

fn try_boot(lab: &mut Lab, kernel: &Path, boot: &Boot) -> anyhow::Result<End> {
    let scenario = scenario::find(boot.scenario)?;
    let done = match SingleBoot::new(lab, kernel, scenario, "")? {
        Ok(done) => done,
        Err(end) => return Ok(end),
    };
    Ok(match judge(&done.text, &done.run.end, boot.lines) {
        Ok(remark) => End::Passed(remark),
        Err(reason) => End::Failed(done.failure(&reason)),
    })
}

/// The last of the lines that it must say, if all are there and it ended by its pass.
fn judge(text: &str, end: &transcript::End, wanted: &[&str]) -> Result<String, String> {
    if *end != transcript::End::Exit(Some(EXIT_STATUS_PASS)) {
        return Err(transcript::describe(end));
    }
    let mut lines = text.lines();
    let mut last = "";
    for wanted in wanted {
        last = lines
            .find(|line| line.starts_with(wanted))
            .ok_or(format!("there is no line {wanted:?} where it should be"))?;
    }
    Ok(last.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::EXIT_STATUS_OFF;

    #[test]
    fn all_that_it_prints_and_its_status_count() {
        let judged = |text, status| {
            let end = transcript::End::Exit(Some(status));
            judge(text, &end, &["backend kvm, ", "slept "])
        };
        let good = "backend kvm, 3 call sites patched\nslept 7 ns\n";
        assert_eq!(judged(good, EXIT_STATUS_PASS), Ok("slept 7 ns".into()));
        assert!(judged(good, EXIT_STATUS_OFF).is_err());
        for bad in [
            "backend native, 3 call sites patched\nslept 7 ns\n",
            "slept 7 ns\nbackend kvm, 3 call sites patched\n",
            "backend kvm, 3 call sites patched\n",
        ] {
            assert!(judged(bad, EXIT_STATUS_PASS).is_err(), "{bad}");
        }
    }
}
