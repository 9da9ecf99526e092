//! The demo kernel built and linked in other ways than `cargo xtask build` does.

use std::io::Write;

use xshell::Shell;

use super::not_gnu;
use crate::kernel::{self, WordSize};
use crate::lab::Lab;
use crate::qemu::Options;
use crate::scenario;
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::Verdict;

struct Variant {
    title: &'static str,
    word_size: WordSize,
    cargo_options: &'static [&'static str],
    link_options: &'static [&'static str],
    /// Whether it wants GNU ld.
    gnu: bool,
}

static VARIANTS: [Variant; 4] = [
    Variant {
        title: "kernel: debug, rust-lld",
        word_size: WordSize::Bits64,
        cargo_options: &[],
        link_options: &[],
        gnu: false,
    },
    Variant {
        title: "kernel: release, GNU ld",
        word_size: WordSize::Bits64,
        cargo_options: &["--release"],
        link_options: &["-C", "linker=ld", "-C", "linker-flavor=ld"],
        gnu: true,
    },
    Variant {
        title: "32-bit kernel: debug, rust-lld",
        word_size: WordSize::Bits32,
        cargo_options: &[],
        link_options: &[],
        gnu: false,
    },
    Variant {
        title: "32-bit kernel: release, GNU ld",
        word_size: WordSize::Bits32,
        cargo_options: &["--release"],
        link_options: &[
            "-C",
            "linker=ld",
            "-C",
            "linker-flavor=ld",
            "-C",
            "link-arg=-melf_i386",
        ],
        gnu: true,
    },
];

/// Builds each variant and boots it on TCG.
pub(super) fn run(
    shell: &Shell,
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for variant in &VARIANTS {
        step::run(variant.title, tally, out, || one(shell, variant, qemu))?;
    }
    Ok(())
}

fn one(shell: &Shell, variant: &Variant, qemu: &Result<String, String>) -> anyhow::Result<End> {
    if let Some(reason) = not_gnu("ld").filter(|_| variant.gnu) {
        return Ok(End::Skipped(reason));
    }
    let kernel = match kernel::compile(
        shell,
        variant.word_size,
        variant.cargo_options,
        variant.link_options,
    )? {
        Ok(kernel) => kernel,
        Err(messages) => return Ok(End::Failed(String::from_utf8_lossy(&messages).into())),
    };
    let qemu = match qemu {
        Ok(qemu) => qemu.clone(),
        Err(reason) => return Ok(End::Skipped(reason.clone())),
    };
    let options = Options {
        smp: 1,
        mem: 128,
        cmdline: "",
        cpu_flags: "",
    };
    let mut log = Vec::new();
    let name = match variant.word_size {
        WordSize::Bits64 => "tcg",
        WordSize::Bits32 => "native32",
    };
    let mut lab = Lab::new(qemu);
    lab.add_kernel(variant.word_size, kernel);
    let report = lab.boot_one(scenario::find(name)?, &options, &mut log)?;
    let checks = report.transcript.passed;
    Ok(match report.verdict {
        Verdict::Pass => End::Passed(format!("{checks} checks on {name}")),
        Verdict::Fail(_) => End::Failed(String::from_utf8_lossy(&log).into()),
        Verdict::Skip(reason) => End::Skipped(reason),
    })
}
