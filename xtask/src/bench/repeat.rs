//! Whether benchmarks are the same to the digit, wherever the checkout is.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};

use super::benchmark::Benchmark;
use crate::kernel::{self, WordSize};
use crate::lab::Lab;
use crate::qemu::Options;
use crate::scenario::{self, Scenario};
use crate::setup;
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::Verdict;

/// Multiboot kernels are told their path, so that longer paths once made for longer boots.
const SCENARIO: &str = "native32-icount";
const WORD_SIZE: WordSize = WordSize::Bits32;
const WORDS: &str = "bench=boot_to_result,cpuid,syscall,timer_storm";

/// One step: boots the 32-bit kernel where it is, and from a copy in another target directory.
pub(crate) fn test(
    qemu: &Result<String, String>,
    kernel: &Path,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> io::Result<()> {
    step::run("benchmarks in another checkout", tally, out, || {
        let qemu = match qemu {
            Ok(qemu) => qemu,
            Err(reason) => return Ok(setup::lacking(reason.clone())),
        };
        let target = kernel::target_directory(kernel)?;
        let copy = target
            .join("another-checkout/target")
            .join(kernel::path_in(target, kernel)?);
        let directory = copy.parent().context("odd kernel path")?;
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        fs::copy(kernel, &copy).with_context(|| copy.display().to_string())?;
        let (here, there) = (figures(qemu, kernel)?, figures(qemu, &copy)?);
        Ok(match here == there {
            true => End::Passed(format!("{} figures are the same", here.len())),
            false => End::Failed(format!("{here:#?}\nare there\n{there:#?}")),
        })
    })
}

fn figures(qemu: &str, kernel: &Path) -> anyhow::Result<Vec<Benchmark>> {
    let scenario = Scenario {
        cmdline: "only=irq.flags",
        figures: None,
        ..*scenario::find(SCENARIO)?
    };
    let options = Options {
        smp: 1,
        mem: 128,
        cmdline: WORDS,
        cpu_flags: "",
    };
    let mut lab = Lab::new(qemu.into());
    lab.add_kernel(WORD_SIZE, kernel.into());
    let report = lab.boot_one(&scenario, &options, &mut io::sink())?;
    match report.verdict {
        Verdict::Pass if report.transcript.benchmarks.is_empty() => bail!("there is no figure"),
        Verdict::Pass => Ok(report.transcript.benchmarks),
        Verdict::Fail(reason) | Verdict::Skip(reason) => bail!("{SCENARIO}: {reason}"),
    }
}
