//! `cargo xtask test`: everything that must hold before a change goes in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::kernel::{Sizes, WordSize};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::qemu::Options;
use crate::report::{self, Report};
use crate::scenario;
use crate::setup;
use crate::step::{self, CargoStep, End};
use crate::tally::Tally;
use crate::{
    bench, kernel, licenses, links, minimal_kernel, privileged, publishing, record, vmi_rom,
    with_bootloader,
};

/// Runs all steps, also after a failed one, and prints the counts.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    for word_size in WordSize::ALL {
        setup::rust_target(word_size.target(), out)?;
    }
    setup::rust_target(links::TARGET_32, out)?;
    let shell = kernel::repository()?;
    let mut tally = Tally::default();
    for step in source_checks(&shell) {
        step.run(&mut tally, out)?;
    }
    let mut kernels = Vec::new();
    for word_size in WordSize::ALL {
        if let Some(kernel) = build_kernel(word_size, &mut tally, out)? {
            inspect_kernel(word_size, &kernel, &mut tally, out)?;
            kernels.push((word_size, kernel));
        }
    }
    licenses::test(&mut tally, out)?;
    publishing::test(&mut tally, out)?;
    for step in host_tests(&shell) {
        step.run(&mut tally, out)?;
    }
    let qemu = setup::qemu(out).map_err(|error| format!("{error:#}"));
    links::run(&qemu, &mut tally, out)?;
    minimal_kernel::test(&qemu, &mut tally, out)?;
    with_bootloader::test(&qemu, &mut tally, out)?;
    vmi_rom::test(&qemu, &mut tally, out)?;
    if let Some((_, kernel)) = kernels.iter().find(|(size, _)| *size == WordSize::Bits64) {
        record::test(&qemu, kernel, &mut tally, out)?;
    }
    if let Some((_, kernel)) = kernels.iter().find(|(size, _)| *size == WordSize::Bits32) {
        bench::test(&qemu, kernel, &mut tally, out)?;
    }
    if let Some(lab) = lab(kernels, qemu, &mut tally) {
        boot_all(lab, &mut tally, out)?;
    }
    Ok(tally.close(out)?)
}

fn source_checks(shell: &Shell) -> Vec<CargoStep<'_>> {
    let cargo = &kernel::cargo();
    let step = |title, command| CargoStep {
        title,
        command,
        tests: false,
    };
    let host = ["--workspace", "--exclude", "guest-kernel-demo"];
    let kernel = ["--package", "guest-kernel-demo"];
    let example = ["--manifest-path", minimal_kernel::MANIFEST];
    let other_example = ["--manifest-path", with_bootloader::MANIFEST];
    let libraries = publishing::LIBRARIES;
    let targets = WordSize::ALL.map(WordSize::target);
    let [wide, narrow] = targets.map(|target| ["--target", target]);
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
            cmd!(shell, "{cargo} clippy {kernel...} {wide...} -- -D warnings")
                .env_remove("RUSTFLAGS"),
        ),
        step(
            "lints of the 32-bit kernel",
            cmd!(
                shell,
                "{cargo} clippy {kernel...} {narrow...} -- -D warnings"
            )
            .env_remove("RUSTFLAGS"),
        ),
        step(
            "lints of the VMI ROM",
            cmd!(
                shell,
                "{cargo} clippy --package pvops-vmi-rom {narrow...} -- -D warnings"
            )
            .env_remove("RUSTFLAGS"),
        ),
        step(
            "format of the minimal kernel",
            cmd!(shell, "{cargo} fmt --all --check {example...}"),
        ),
        step(
            "lints of the minimal kernel",
            cmd!(
                shell,
                "{cargo} clippy --locked {example...} --workspace {wide...} -- -D warnings"
            )
            .env_remove("RUSTFLAGS")
            .env(
                "CARGO_TARGET_DIR",
                kernel::other_target_directory("minimal-kernel"),
            ),
        ),
        step(
            "format of the kernel with a bootloader",
            cmd!(shell, "{cargo} fmt --all --check {other_example...}"),
        ),
        step(
            "lints of the kernel with a bootloader",
            cmd!(
                shell,
                "{cargo} clippy --locked {other_example...} {wide...} -- -D warnings"
            )
            .env_remove("RUSTFLAGS")
            .env(
                "CARGO_TARGET_DIR",
                kernel::other_target_directory(with_bootloader::NAME),
            ),
        ),
        step(
            "documentation of the host workspace",
            cmd!(shell, "{cargo} doc {host...} --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
        ),
        step(
            "documentation of the kernel and the library",
            cmd!(
                shell,
                "{cargo} doc {kernel...} {libraries...} {wide...} --no-deps"
            )
            .env("RUSTDOCFLAGS", "-D warnings"),
        ),
        // All that such a kernel links, as some of it is for one word size.
        step(
            "documentation of the 32-bit kernel",
            cmd!(
                shell,
                "{cargo} doc {kernel...} {libraries...} {narrow...} --no-deps"
            )
            .env("RUSTDOCFLAGS", "-D warnings"),
        ),
    ]
}

fn host_tests(shell: &Shell) -> [CargoStep<'_>; 4] {
    let cargo = &kernel::cargo();
    const TARGET_32: &str = links::TARGET_32;
    let libraries = publishing::LIBRARIES;
    let loom_target = kernel::other_target_directory("loom");
    [
        CargoStep {
            title: "host tests",
            command: cmd!(
                shell,
                "{cargo} test --workspace --exclude guest-kernel-demo --no-fail-fast"
            ),
            tests: true,
        },
        CargoStep {
            title: "host tests, 32-bit",
            command: cmd!(
                shell,
                "{cargo} test --target {TARGET_32} {libraries...} --package pvops-tests --lib --tests --no-fail-fast"
            )
            .env("RUSTFLAGS", links::RUSTFLAGS_32),
            tests: true,
        },
        // The host tests run it in debug, with fewer changes, and its threads slower to meet the patcher.
        CargoStep {
            title: "live patching, release",
            command: cmd!(
                shell,
                "{cargo} run --release --package pvops-tests --bin live-patching"
            ),
            tests: false,
        },
        CargoStep {
            title: "interleavings of pvclock readers and writers, and of CPUs on a lock",
            command: cmd!(
                shell,
                "{cargo} test --package pvops-core --release --lib model"
            )
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", loom_target),
            tests: true,
        },
    ]
}

/// `None` when it does not compile.
fn build_kernel(
    word_size: WordSize,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<Option<PathBuf>> {
    let mut built = None;
    step::run(&format!("{word_size} kernel build"), tally, out, || {
        let mut messages = Vec::new();
        built = kernel::build(word_size, &mut messages)?;
        Ok(match built {
            Some(_) => End::Passed(String::new()),
            None => End::Failed(String::from_utf8_lossy(&messages).into_owned()),
        })
    })?;
    Ok(built)
}

/// What can be seen without booting it.
fn inspect_kernel(
    word_size: WordSize,
    kernel: &Path,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> io::Result<()> {
    let title = format!("size of the {word_size} kernel below 1 MiB");
    step::run(&title, tally, out, || {
        let sizes = Sizes::of(kernel)?;
        Ok(match sizes.is_small() {
            true => End::Passed(sizes.to_string()),
            false => End::Failed(sizes.to_string()),
        })
    })?;
    let title = format!("privileged instructions of the {word_size} kernel");
    step::run(&title, tally, out, || {
        Ok(match privileged::check(kernel)? {
            Ok(count) => End::Passed(format!("{count}, each in its place")),
            Err(misplaced) => End::Failed(misplaced.join("\n")),
        })
    })
}

/// `None` when scenarios cannot run; the tally knows why.
fn lab(
    kernels: Vec<(WordSize, PathBuf)>,
    qemu: Result<String, String>,
    tally: &mut Tally,
) -> Option<Lab> {
    if kernels.len() < WordSize::ALL.len() {
        skip_scenarios(tally, "a kernel does not compile");
        return None;
    }
    match qemu {
        Ok(qemu) => {
            let mut lab = Lab::new(qemu);
            for (word_size, kernel) in kernels {
                lab.add_kernel(word_size, kernel);
            }
            Some(lab)
        }
        Err(reason) => {
            if setup::is_gate() {
                tally.fail(1, format!("scenarios: {reason}"));
            } else {
                skip_scenarios(tally, &reason);
            }
            None
        }
    }
}

fn skip_scenarios(tally: &mut Tally, reason: &str) {
    for scenario in scenario::all() {
        tally.skip(format!("{}: {reason}", scenario.name));
    }
}

fn boot_all(mut lab: Lab, tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    let mut reports = Vec::new();
    for scenario in scenario::all() {
        for &smp in scenario.cpus {
            let options = Options {
                smp,
                mem: 128,
                cmdline: "",
                cpu_flags: "",
            };
            let start = step::begin(&format!("scenario {} -smp {smp}", scenario.name), out)?;
            let mut log = Vec::new();
            let ended = lab.boot(scenario, &options, &mut log);
            if ended.iter().any(Report::has_failed) {
                step::say_end("FAILED", "", start, out)?;
                out.write_all(&log)?;
            } else if ended.iter().any(Report::is_skipped) {
                writeln!(out, "skipped")?;
            } else {
                step::say_end("ok", "", start, out)?;
            }
            ended.iter().for_each(|report| tally.scenario(report));
            reports.extend(ended);
        }
    }
    report::print_table(&reports, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_that_come_to_an_error_are_counted_as_failures() {
        let (mut tally, mut out) = (Tally::default(), Vec::new());
        // Without a kernel.
        boot_all(Lab::new("QEMU".into()), &mut tally, &mut out).unwrap();
        let outcome = tally.close(&mut out).unwrap();
        assert_eq!(outcome, Outcome::Failed);
        let text = String::from_utf8(out).unwrap();
        for failed in [
            "tcg: there is no 64-bit kernel",
            "vmi: there is no 32-bit kernel",
        ] {
            assert!(text.contains(&format!("\nFAIL: {failed}\n")), "{text}");
            assert!(text.contains(&format!("\nfailed: {failed}\n")), "{text}");
        }
        assert!(text.ends_with(" skipped\n"), "{text}");
    }
}
