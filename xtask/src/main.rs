//! `cargo xtask`: builds, boots, tests and looks into the kernel.
//!
//! Exit status: 0 when all went well, 1 when a boot, test or build failed, 2 when the call
//! or the machine is wrong (unknown scenario, missing tool, unreadable file).

mod alone;
mod annotate;
mod appliance;
mod bench;
mod boot;
mod cli;
mod disturbance;
mod example;
mod figures;
mod gains;
mod grub;
mod guest;
mod host;
mod kernel;
mod lab;
mod licenses;
mod lines;
mod links;
mod minimal_kernel;
mod monitor;
mod ops;
mod outcome;
mod privileged;
mod progress;
mod protocol;
mod publishing;
mod qemu;
mod record;
mod render;
mod report;
mod scenario;
mod screen;
mod semver;
mod setup;
mod single_boot;
mod sites;
mod steal;
mod step;
mod supplies;
mod table;
mod tally;
mod test;
mod tests_output;
mod transcript;
mod vmi_rom;
mod with_bootloader;
mod xen;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};
use crate::outcome::Outcome;

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let mut out = io::stdout().lock();
    let outcome = run(command, &mut out).and_then(|outcome| {
        out.flush()?;
        Ok(outcome)
    });
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        // The reader of a pipe has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let _alone = alone::begin()?;
    match command {
        Command::Boot(arguments) => boot::run(&arguments, out),
        Command::Build => kernel::run(out),
        Command::Test => test::run(out),
        Command::VmiRom(arguments) => vmi_rom::run(&arguments, out),
        Command::MinimalKernel => example::run(minimal_kernel::test, out),
        Command::WithBootloader => example::run(with_bootloader::test, out),
        Command::Sites(arguments) => sites::run(&arguments, out),
        Command::Ops => ops::run(out),
        Command::Record { scenario, file } => record::run(&scenario, &file, out),
        Command::Semver { baseline } => semver::run(&baseline, out),
        Command::Bench(arguments) => bench::run(&arguments, out),
        Command::Gains { only } => gains::run(&only, out),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
