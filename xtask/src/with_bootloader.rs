//! `examples/with-bootloader`, before and after it took pvops, booted by loaders that are not its own.

use std::io::Write;
use std::path::Path;

use crate::example;
use crate::kernel::WordSize;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario;
use crate::setup;
use crate::single_boot::SingleBoot;
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::{self, EXIT_STATUS_PASS};

pub(crate) const NAME: &str = "with-bootloader";
pub(crate) const MANIFEST: &str = "examples/with-bootloader/Cargo.toml";

/// A build of the kernel.
struct Variant {
    title: &'static str,
    cargo_options: &'static [&'static str],
    boots: &'static [Boot],
}

/// A way to boot it, and what it must say then.
struct Boot {
    scenario: &'static str,
    /// By whom it is loaded.
    loader: &'static str,
    lines: &'static [&'static str],
}

static VARIANTS: [Variant; 2] = [
    Variant {
        title: "before",
        cargo_options: &["--release", "--features", "before"],
        boots: &[Boot {
            scenario: "tcg-grub",
            loader: "GRUB",
            lines: &["no pvops yet", MAPPED],
        }],
    },
    Variant {
        title: "after",
        cargo_options: &["--release"],
        boots: &[
            Boot {
                scenario: "tcg-grub",
                loader: "GRUB",
                lines: &[
                    "Multiboot2: ",
                    "interface TCGTCGTCGTCG at 0x40000000",
                    "backend native, ",
                    MAPPED,
                    "clock ",
                    "slept ",
                ],
            },
            Boot {
                scenario: "kvm",
                loader: "QEMU",
                lines: &[
                    "Multiboot: ",
                    "interface KVMKVMKVM at 0x40000000",
                    "backend kvm, ",
                    MAPPED,
                    "clock ",
                    "slept ",
                ],
            },
        ],
    },
];

const MAPPED: &str = "a page was mapped to two frames";

/// Builds the kernels, boots them and prints the counts.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    setup::rust_target(WordSize::Bits64.target(), out)?;
    let qemu = setup::qemu(out).map_err(|error| format!("{error:#}"));
    let mut tally = Tally::default();
    test(&qemu, &mut tally, out)?;
    Ok(tally.close(out)?)
}

/// Builds the kernels and boots them; `qemu` is its name and version, or why it is missing.
pub(crate) fn test(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut lab = qemu.as_ref().map(|qemu| Lab::new(qemu.clone()));
    for variant in &VARIANTS {
        let mut built = None;
        let title = format!("kernel with a bootloader, {}", variant.title);
        step::run(&format!("{title}: build"), tally, out, || {
            Ok(match example::build(NAME, NAME, variant.cargo_options)? {
                Ok(kernel) => {
                    built = Some(kernel);
                    End::Passed(String::new())
                }
                Err(messages) => End::Failed(String::from_utf8_lossy(&messages).into()),
            })
        })?;
        let Some(kernel) = built else { continue };
        for boot in variant.boots {
            let title = format!("{title}: {}, loaded by {}", boot.scenario, boot.loader);
            step::run(&title, tally, out, || match &mut lab {
                Ok(lab) => try_boot(lab, &kernel, boot),
                Err(reason) => Ok(setup::lacking(reason.clone())),
            })?;
        }
    }
    Ok(())
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

/// The last line before the pass, if all lines are there that begin so, in their order.
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
    lines
        .find(|line| *line == "pass")
        .ok_or("it does not say that it has passed")?;
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
        let good = "backend kvm, 3 call sites patched\nslept 7 ns\npass\n";
        assert_eq!(judged(good, EXIT_STATUS_PASS), Ok("slept 7 ns".into()));
        assert!(judged(good, EXIT_STATUS_OFF).is_err());
        for bad in [
            "backend native, 3 call sites patched\nslept 7 ns\npass\n",
            "slept 7 ns\nbackend kvm, 3 call sites patched\npass\n",
            "backend kvm, 3 call sites patched\nslept 7 ns\n",
        ] {
            assert!(judged(bad, EXIT_STATUS_PASS).is_err(), "{bad}");
        }
    }
}
