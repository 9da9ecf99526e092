//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::sites;

/// Build, boot, test and look into the pvops demo kernel.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Boot the demo kernel on hypervisors and show what it found, patched and checked
    Boot(BootArguments),
    /// Build the demo kernel and print where it is
    Build,
    /// Run every check: format, lints, documentation, host tests, all scenarios
    Test,
    /// Build the option ROM that offers VMI 3.0 to 32-bit guests, and malformed ones for tests
    VmiRom(VmiRomArguments),
    /// Build examples/minimal-kernel, print what pvops costs it in bytes, and boot it on every kind of host
    MinimalKernel,
    /// Build examples/with-bootloader, before and after it took pvops, and boot it by others' loaders
    WithBootloader,
    /// List the call sites of an ELF that links pvops-core, and what a backend makes of them
    Sites(SitesArguments),
    /// Compare the public API of the packages with that of a git revision, by cargo-semver-checks
    Semver {
        /// The revision; it need not be published
        baseline: String,
    },
    /// Write docs/ops.md, the reference of all ops, from their declaration
    Ops,
    /// Boot the demo kernel and write down what it and the host say to each other while a backend is
    /// installed, for tests that replay it (docs/testing.md)
    Record {
        /// A scenario with one 64-bit kernel, such as kvm-l1
        scenario: String,
        /// The recording
        file: PathBuf,
    },
    /// Measure what ops, exits and work cost on hosts side by side, and write target/bench/report.html and
    /// report.md
    Bench(BenchArguments),
    /// Count what each feature of KVM saves, and write the tables in docs/kvm.md; or the same of Xen
    /// or VMI
    Gains {
        /// `xen` for docs/xen.md, `vmi` for docs/vmi.md; anything else counts only the rows of docs/kvm.md
        /// with it in their feature or workload, and keeps the others
        #[arg(default_value = "", hide_default_value = true)]
        only: String,
    },
}

#[derive(Args, Default)]
pub(crate) struct BootArguments {
    /// Scenarios to boot [default: tcg, and kvm where /dev/kvm opens]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// Boot every scenario there is
    #[arg(long, conflicts_with = "scenarios")]
    pub(crate) all: bool,
    /// Number of virtual CPUs [default: the least that the scenario is tested with]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=255))]
    pub(crate) smp: Option<u16>,
    /// Guest memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) mem: u32,
    /// Words to add to the kernel's command line, such as only=irq.flags
    #[arg(long, value_name = "WORDS")]
    pub(crate) cmdline: Option<String>,
    /// Flags to add to QEMU's CPU, such as -kvm-pv-eoi
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true)]
    pub(crate) cpu: Option<String>,
}

#[derive(Args)]
pub(crate) struct BenchArguments {
    /// Scenarios to measure [default: those that count instructions, some with more CPUs]
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// Number of virtual CPUs [default: as many as the scenario is tested with, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=255))]
    pub(crate) smp: Option<u16>,
    /// Only these benchmarks or groups, such as cpuid,op
    #[arg(long, value_name = "NAMES")]
    pub(crate) only: Option<String>,
    /// Measure nothing, but write the reports of a run that was kept (target/bench/run.json)
    #[arg(long, value_name = "RUN", conflicts_with_all = ["scenarios", "smp", "only", "compare"])]
    pub(crate) kept: Option<PathBuf>,
    /// Measure nothing, but compare two runs that were kept (target/bench/run.json)
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["scenarios", "smp", "only"])]
    pub(crate) compare: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct VmiRomArguments {
    /// Boot the kernel that calls everything in it, too
    #[arg(long)]
    pub(crate) test: bool,
}

#[derive(Args)]
pub(crate) struct SitesArguments {
    /// A linked ELF file [default: the demo kernel, built if need be]
    #[arg(value_name = "ELF")]
    pub(crate) elf: Option<PathBuf>,
    /// The backend whose patching is shown, on a host with all that it can use; vmi boots the demo kernel
    /// with the VMI ROM
    #[arg(long, value_name = "BACKEND", default_value = sites::backend_names().next(),
          value_parser = PossibleValuesParser::new(sites::backend_names()))]
    pub(crate) backend: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_unknown_backend_is_refused() {
        let error = Arguments::try_parse_from(["xtask", "sites", "--backend", "lguest"])
            .err()
            .unwrap();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("native, kvm"));
    }

    #[test]
    fn senseless_numbers_are_refused() {
        for arguments in ["--smp 0", "--smp 256", "--smp two", "--mem 0", "--mem 15"] {
            let words = ["xtask", "boot"].into_iter().chain(arguments.split(' '));
            let error = Arguments::try_parse_from(words).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{arguments}");
        }
    }
}
