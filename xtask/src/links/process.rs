//! The host scenario, a Linux process that patches its own call sites.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow};
use pvops_tests::image::Image;
use pvops_tests::sites::Sites;
use xshell::{Shell, cmd};

use super::{RUSTFLAGS_32, TARGET_32, not_gnu};
use crate::guest::{self, Run};
use crate::kernel::{self, MESSAGES};
use crate::step::{self, End};
use crate::tally::Tally;
use crate::transcript::End as ProcessEnd;

const PROGRAM: &str = "host-scenario";

/// It takes far less than a second; a wrong site can make it hang.
const TIMEOUT: Duration = Duration::from_secs(60);

const PROFILES: [(&str, &[&str]); 2] = [("debug", &[]), ("release", &["--release"])];

struct Relocation {
    name: &'static str,
    /// With a target named, flags for the program are not flags for what builds it.
    target: &'static str,
    rustflags: &'static str,
    position_independent: bool,
    linkers: &'static [Linker],
}

static RELOCATIONS: [Relocation; 3] = [
    Relocation {
        name: "PIE",
        target: "x86_64-unknown-linux-gnu",
        rustflags: "-C relocation-model=pie",
        position_independent: true,
        linkers: &LINKERS,
    },
    Relocation {
        name: "static",
        target: "x86_64-unknown-linux-gnu",
        rustflags: "-C relocation-model=static",
        position_independent: false,
        linkers: &LINKERS,
    },
    // A site has its slot's address in its text, so it is not position-independent.
    Relocation {
        name: "static, 32-bit",
        target: TARGET_32,
        rustflags: RUSTFLAGS_32,
        position_independent: false,
        linkers: LINKERS.split_at(1).0,
    },
];

struct Linker {
    name: &'static str,
    options: &'static [&'static str],
    is_lld: bool,
}

const LINKERS: [Linker; 2] = [
    // What rustc takes for this target unless told.
    Linker {
        name: "rust-lld",
        options: &[],
        is_lld: true,
    },
    // The compiler driver heeds the last `-fuse-ld`, which this is.
    Linker {
        name: "GNU ld",
        options: &["-C", "link-arg=-fuse-ld=bfd"],
        is_lld: false,
    },
];

/// Builds, examines and runs the program in all ways.
pub(super) fn run(shell: &Shell, tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    for (profile, profile_options) in PROFILES {
        for relocation in &RELOCATIONS {
            for linker in relocation.linkers {
                let title = format!(
                    "host scenario: {profile}, {}, {}",
                    relocation.name, linker.name
                );
                step::run(&title, tally, out, || {
                    one(shell, profile_options, relocation, linker)
                })?;
            }
        }
    }
    Ok(())
}

fn one(
    shell: &Shell,
    profile: &[&str],
    relocation: &Relocation,
    linker: &Linker,
) -> anyhow::Result<End> {
    if !linker.is_lld
        && let Some(reason) = not_gnu("ld.bfd")
    {
        return Ok(End::Skipped(reason));
    }
    let cargo = kernel::cargo();
    let options = linker.options;
    let target = relocation.target;
    let command = cmd!(
        shell,
        "{cargo} rustc --package pvops-tests --bin {PROGRAM} --target {target} {profile...} {MESSAGES...} -- {options...}"
    );
    let command = command.env("RUSTFLAGS", relocation.rustflags);
    let program = match kernel::executable_of(command, PROGRAM)? {
        Ok(program) => program,
        Err(messages) => return Ok(End::Failed(String::from_utf8_lossy(&messages).into())),
    };
    let shown = program.display().to_string();
    let file = std::fs::read(&program).with_context(|| shown.clone())?;
    let image = Image::parse(&file).map_err(|error| anyhow!("{shown} {error}"))?;
    let sites = match examine(&image, relocation, linker) {
        Ok(sites) => sites,
        Err(reason) => return Ok(End::Failed(format!("{shown} {reason}"))),
    };
    let mut lines = Vec::new();
    let run = guest::run(&mut Command::new(program), TIMEOUT, &mut |line| {
        lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(judge(sites, lines, run))
}

/// Checks that the file is what it is said to be, and gives its number of call sites.
fn examine(image: &Image<'_>, relocation: &Relocation, linker: &Linker) -> Result<usize, String> {
    if image.is_position_independent() != relocation.position_independent {
        return Err(format!("is not {}", relocation.name));
    }
    if image.is_linked_by_lld() != linker.is_lld {
        return Err(format!("was not linked by {}", linker.name));
    }
    let sites = Sites::read(image).map_err(|error| error.to_string())?;
    let mut all = sites.sites.iter();
    match all.find(|site| sites.is_unpatched(site) != Some(true)) {
        None => Ok(sites.sites.len()),
        Some(site) => Err(format!(
            "has site {:#x}, which is not a call of {}",
            site.address,
            sites.op_name(site)
        )),
    }
}

fn judge(sites: usize, mut lines: Vec<String>, run: Run) -> End {
    let checks = lines.iter().find_map(|line| checks_passed(line));
    match (run.end, checks) {
        (ProcessEnd::Exit(Some(0)), Some(checks)) => {
            End::Passed(format!("{checks} checks, {sites} sites"))
        }
        (end, _) => {
            lines.extend(run.diagnostics);
            lines.push(match end {
                ProcessEnd::Exit(Some(0)) => "it did not say how many checks passed".into(),
                ProcessEnd::Exit(Some(status)) => format!("{PROGRAM} ended with status {status}"),
                ProcessEnd::Exit(None) => format!("{PROGRAM} was ended by a signal"),
                ProcessEnd::Ended(reason) => reason,
            });
            End::Failed(lines.join("\n"))
        }
    }
}

/// 7 from "host scenario: 7 checks passed".
fn checks_passed(line: &str) -> Option<u64> {
    let count = line
        .strip_prefix("host scenario: ")?
        .strip_suffix(" checks passed")?;
    count.parse().ok().filter(|&count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_tests::sample::Sample;

    #[test]
    fn a_file_must_be_what_is_claimed() {
        let examined = |elf: &[u8], relocation: usize, linker: usize| {
            let image = Image::parse(elf).unwrap();
            examine(&image, &RELOCATIONS[relocation], &LINKERS[linker])
        };
        let (pie, fixed, lld, gnu) = (0, 1, 0, 1);
        // Linked at an address, and not by LLD.
        let mut sample = Sample::new();
        let elf = sample.build();
        assert_eq!(examined(&elf, fixed, gnu), Ok(2));
        assert_eq!(examined(&elf, pie, gnu), Err("is not PIE".into()));
        assert_eq!(
            examined(&elf, fixed, lld),
            Err("was not linked by rust-lld".into())
        );
        sample.text[0] = 0;
        let reason = examined(&sample.build(), fixed, gnu).unwrap_err();
        assert_eq!(
            reason,
            "has site 0xffffffff80200000, which is not a call of irq.disable"
        );
        sample.records.clear();
        let reason = examined(&sample.build(), fixed, gnu).unwrap_err();
        assert_eq!(reason, "links no pvops-core call sites");
    }

    fn judged(line: &str, end: ProcessEnd) -> Result<String, String> {
        let run = Run {
            end,
            diagnostics: vec!["why".into()],
            duration: Duration::ZERO,
        };
        match judge(66, vec!["ok   one".into(), line.into()], run) {
            End::Passed(remark) => Ok(remark),
            End::Failed(reasons) => Err(reasons),
            End::Skipped(_) => panic!("it was run"),
        }
    }

    #[test]
    fn status_and_count_must_both_be_good() {
        let good = "host scenario: 13 checks passed";
        let exit = |status| ProcessEnd::Exit(Some(status));
        assert_eq!(judged(good, exit(0)), Ok("13 checks, 66 sites".into()));
        assert_eq!(
            judged(good, exit(1)).unwrap_err().lines().last(),
            Some("host-scenario ended with status 1")
        );
        assert_eq!(
            judged("host scenario: 0 checks passed", exit(0)).unwrap_err(),
            "ok   one\nhost scenario: 0 checks passed\nwhy\nit did not say how many checks passed"
        );
        assert!(judged("host scenario: 2 checks failed", exit(0)).is_err());
        assert!(judged(good, ProcessEnd::Exit(None)).is_err());
        assert!(judged(good, ProcessEnd::Ended("hung".into())).is_err());
    }
}
