//! `examples/minimal-kernel`, built as its reader builds it, and booted on every kind of host.

mod size;

use std::io::Write;
use std::path::{Path, PathBuf};

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

/// Of its workspace.
pub(crate) const MANIFEST: &str = "examples/minimal-kernel/Cargo.toml";
const PACKAGE: &str = "minimal-kernel";

/// A host, and what the kernel must find there.
struct Host {
    scenario: &'static str,
    /// The name of the backend; none of a kernel without op table.
    backend: Option<&'static str>,
    signature: &'static str,
}

static HOSTS: [Host; 4] = [
    Host {
        scenario: "tcg",
        backend: Some("native"),
        signature: "TCGTCGTCGTCG",
    },
    Host {
        scenario: "kvm",
        backend: Some("kvm"),
        signature: "KVMKVMKVM",
    },
    Host {
        scenario: "xen-pvh",
        backend: Some("xen"),
        signature: "XenVMMXenVMM",
    },
    Host {
        scenario: "xen-pv",
        backend: Some("xen"),
        signature: "XenVMMXenVMM",
    },
];

/// Of the kernel that takes only the clock, which it knows of KVM alone.
static CLOCK_HOSTS: [Host; 1] = [Host {
    scenario: "kvm",
    backend: None,
    signature: "KVMKVMKVM",
}];

/// A kernel that is booted.
struct Example {
    title: &'static str,
    package: &'static str,
    executable: &'static str,
    cargo_options: &'static [&'static str],
    hosts: &'static [Host],
}

static EXAMPLES: [Example; 3] = [
    Example {
        title: "minimal kernel: debug",
        package: PACKAGE,
        executable: PACKAGE,
        cargo_options: &[],
        hosts: HOSTS.first_chunk::<1>().unwrap(),
    },
    Example {
        title: "minimal kernel: release",
        package: PACKAGE,
        executable: PACKAGE,
        cargo_options: &["--release"],
        hosts: &HOSTS,
    },
    // Links pvops-core alone: here in debug, in release for its size.
    Example {
        title: "kernel with the clock only: debug",
        package: size::PACKAGE,
        executable: size::CLOCK,
        cargo_options: &["--bin", size::CLOCK],
        hosts: &CLOCK_HOSTS,
    },
];

/// Builds the kernel, boots it and prints the counts.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    setup::rust_target(WordSize::Bits64.target(), out)?;
    let qemu = setup::qemu(out).map_err(|error| format!("{error:#}"));
    let mut tally = Tally::default();
    test(&qemu, &mut tally, out)?;
    Ok(tally.close(out)?)
}

/// Builds the kernel and boots it; `qemu` is its name and version, or why it is missing.
pub(crate) fn test(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    size::test(tally, out)?;
    let mut lab = qemu.as_ref().map(|qemu| Lab::new(qemu.clone()));
    for example in &EXAMPLES {
        let mut built = None;
        step::run(&format!("{} build", example.title), tally, out, || {
            Ok(
                match build(example.package, example.executable, example.cargo_options)? {
                    Ok(kernel) => {
                        built = Some(kernel);
                        End::Passed(String::new())
                    }
                    Err(messages) => End::Failed(String::from_utf8_lossy(&messages).into()),
                },
            )
        })?;
        let Some(kernel) = built else { continue };
        for host in example.hosts {
            let title = format!("{}, {}", example.title, host.scenario);
            step::run(&title, tally, out, || match &mut lab {
                Ok(lab) => boot(lab, &kernel, host),
                Err(reason) => Ok(setup::lacking(reason.clone())),
            })?;
        }
    }
    Ok(())
}

/// Builds an executable of the example's workspace.
fn build(
    package: &str,
    executable: &str,
    cargo_options: &[&str],
) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let package = ["--package", package];
    let options: Vec<_> = package.iter().chain(cargo_options).copied().collect();
    example::build(PACKAGE, executable, &options)
}

fn boot(lab: &mut Lab, kernel: &Path, host: &Host) -> anyhow::Result<End> {
    let scenario = scenario::find(host.scenario)?;
    let boot = match SingleBoot::new(lab, kernel, scenario, "")? {
        Ok(boot) => boot,
        Err(end) => return Ok(end),
    };
    Ok(match judge(&boot.text, &boot.run.end, host) {
        Ok(remark) => End::Passed(remark),
        Err(reason) => End::Failed(boot.failure(&reason)),
    })
}

/// What the kernel has said of the backend, if all is as it must be on the host.
fn judge(text: &str, end: &transcript::End, host: &Host) -> Result<String, String> {
    if *end != transcript::End::Exit(Some(EXIT_STATUS_PASS)) {
        return Err(transcript::describe(end));
    }
    let said = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let interface = format!("interface {} at 0x40000000", host.signature);
    said(&interface).ok_or(format!("there is no line {interface:?}"))?;
    let sites = match host.backend {
        Some(name) => {
            said(&format!("backend {name}, ")).ok_or(format!("the backend is not {name}"))?
        }
        None => "",
    };
    let clock = said("clock ").and_then(|rest| rest.strip_suffix(" ns"));
    let clock: Option<u64> = clock.and_then(|ns| ns.parse().ok());
    clock.ok_or("there is no clock reading")?;
    Ok(sites.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::EXIT_STATUS_OFF;

    #[test]
    fn all_that_it_prints_and_its_status_count() {
        let good = "minimal kernel\ninterface KVMKVMKVM at 0x40000000\n\
                    backend kvm, 468 call sites patched\nclock 7 ns\n3 ns later: pass\n";
        let judged =
            |text: &str, status| judge(text, &transcript::End::Exit(Some(status)), &HOSTS[1]);
        assert_eq!(
            judged(good, EXIT_STATUS_PASS),
            Ok("468 call sites patched".into())
        );
        assert!(judged(good, EXIT_STATUS_OFF).is_err());
        for (from, to) in [
            ("KVMKVMKVM", "TCGTCGTCGTCG"),
            ("backend kvm", "backend native"),
            ("clock 7", "clock x"),
        ] {
            assert!(judged(&good.replace(from, to), EXIT_STATUS_PASS).is_err());
        }
    }
}
