//! The library inside an ordinary Linux process: real call sites, really patched, really run.
//!
//! Nothing privileged can be executed here, so the [backend] does without: its CPU is a
//! handful of variables. What is tested is what does not depend on the host: that sites work before
//! patching, that nothing is written unless everything can be, that each outcome is what it should
//! be, and that the thunks of every shape pass what they should and lose no register. `cargo xtask
//! test` builds and runs this with every linker, profile and relocation model.

mod backend;
mod checks;
mod exits;
mod faults;

use std::process::ExitCode;

fn main() -> ExitCode {
    faults::catch();
    pvops_tests::check::run("host scenario", checks::CHECKS)
}
