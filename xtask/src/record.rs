//! `cargo xtask record`: what the demo kernel and a host have said to each other in a boot, for tests that replay
//! it with `pvops_core::testing`.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use pvops_core::testing::Recording;

use crate::kernel::{self, WordSize};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::{self, Carrier};
use crate::setup;
use crate::single_boot::SingleBoot;
use crate::step::End;

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
    let mut lab = Lab::new(qemu.clone());
    let boot = match SingleBoot::new(&mut lab, &kernel, scenario, "record")? {
        Ok(boot) => boot,
        Err(End::Skipped(reason) | End::Failed(reason)) => bail!("{reason}"),
        Err(End::Passed(_)) => bail!("{name} was not booted"),
    };
    let lines = &boot.transcript.traffic;
    let text = format!(
        "# {name}: {qemu} {}, by `cargo xtask record`\n{}\n",
        scenario.host,
        lines.join("\n")
    );
    let recording: Recording = text.parse().context("the kernel's lines")?;
    // The readings of the clock are the last lines but for a call.
    if recording.clocks().is_empty() {
        writeln!(out, "{}", boot.failure("the boot did not get to its end"))?;
        return Ok(Outcome::Failed);
    }
    fs::write(file, text).with_context(|| file.display().to_string())?;
    let count = recording.exchange_count();
    writeln!(out, "{count} exchanges are in {}", file.display())?;
    Ok(Outcome::Passed)
}
