//! `cargo xtask record`: what the demo kernel and a host have said to each other in a boot, for tests that
//! replay it with `pvops_core::testing`.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use pvops_core::testing::Recording;

use crate::kernel::{self, WordSize};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::{self, Carrier, Scenario};
use crate::setup;
use crate::single_boot::SingleBoot;
use crate::step::{self, End};
use crate::tally::Tally;

/// Boots the scenario and writes the recording to `file`.
pub(crate) fn run(name: &str, file: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let scenario = scenario::find(name)?;
    if scenario.word_size != WordSize::Bits64 {
        bail!("{name} boots the 32-bit kernel, which records nothing");
    }
    match scenario.carrier {
        Carrier::XenAppliance(_) => bail!("{name} has several domains; a recording is of one"),
        Carrier::Xen(words) if !words.contains("dom0=pvh") => {
            bail!(
                "{name} runs the kernel in ring 3, on tables that no process has (docs/testing.md)"
            )
        }
        _ => {}
    }
    let qemu = setup::qemu(out)?;
    let Some(kernel) = kernel::build(scenario.word_size, out)? else {
        return Ok(Outcome::Failed);
    };
    let text = match record(&qemu, &kernel, scenario)? {
        Ok(text) => text,
        Err(End::Failed(reason)) => {
            writeln!(out, "{reason}")?;
            return Ok(Outcome::Failed);
        }
        Err(End::Skipped(reason)) => bail!("{reason}"),
        Err(End::Passed(_)) => bail!("{name} was not booted"),
    };
    let count = text.parse::<Recording>()?.exchange_count();
    fs::write(file, text).with_context(|| file.display().to_string())?;
    writeln!(out, "{count} exchanges are in {}", file.display())?;
    Ok(Outcome::Passed)
}

/// Records a boot once more whose recording is kept, and compares the calls of the host: tests of a recording
/// show nothing of a kernel that makes others.
pub(crate) fn test(
    qemu: &Result<String, String>,
    kernel: &Path,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    const NAME: &str = "xen-pvh";
    step::run(&format!("recording of {NAME}"), tally, out, || {
        let qemu = match qemu {
            Ok(qemu) => qemu,
            Err(reason) => return Ok(setup::lacking(reason.clone())),
        };
        let text = match record(qemu, kernel, scenario::find(NAME)?)? {
            Ok(text) => text,
            Err(end) => return Ok(end),
        };
        let repository = kernel::repository()?.current_dir();
        let kept = fs::read_to_string(repository.join(format!("tests/recordings/{NAME}.txt")))?;
        Ok(compare(&kept, &text))
    })?;
    Ok(())
}

/// The recording, or why there is none.
fn record(qemu: &str, kernel: &Path, scenario: &Scenario) -> anyhow::Result<Result<String, End>> {
    let mut lab = Lab::new(qemu.to_owned());
    let boot = match SingleBoot::new(&mut lab, kernel, scenario, "record")? {
        Ok(boot) => boot,
        Err(end) => return Ok(Err(end)),
    };
    let lines = &boot.transcript.traffic;
    let text = format!(
        "# {}: {qemu} {}, by `cargo xtask record`\n{}\n",
        scenario.name,
        scenario.host,
        lines.join("\n")
    );
    let recording: Recording = text.parse().context("the kernel's lines")?;
    // The readings of the clock are the last lines but for a few.
    if recording.clocks().is_empty() {
        let reason = boot.failure("the boot did not get to its end");
        return Ok(Err(End::Failed(reason)));
    }
    Ok(Ok(text))
}

/// Whether both have the same calls, with their structures and results.
fn compare(kept: &str, made: &str) -> End {
    let calls = |text: &str| -> Vec<String> {
        let calls = text.lines().filter(|line| line.starts_with("hypercall "));
        calls.map(Into::into).collect()
    };
    let (kept, made) = (calls(kept), calls(made));
    match kept == made {
        true => End::Passed(format!("{} calls, as in the one kept", made.len())),
        false => End::Failed(format!(
            "kept:\n{}\nnow:\n{}",
            kept.join("\n"),
            made.join("\n")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_compared_and_nothing_else() {
        let kept = "rdtsc = 0x1\nhypercall 0x1 rdi=&0x0 = 0x0\nhypercall 0x2 = 0x0\n";
        let passes = |made| matches!(compare(kept, made), End::Passed(_));
        assert!(passes(
            "hypercall 0x1 rdi=&0x0 = 0x0\nhypercall 0x2 = 0x0\n"
        ));
        for other in [
            "hypercall 0x2 = 0x0\nhypercall 0x1 rdi=&0x0 = 0x0\n",
            "hypercall 0x1 rdi=&0x1 = 0x0\nhypercall 0x2 = 0x0\n",
            "hypercall 0x1 rdi=&0x0 = 0x0\n",
        ] {
            assert!(!passes(other), "{other}");
        }
    }
}
