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
mod process;
mod registers;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::catch_faults();
    let mut failed = 0;
    for (name, check) in checks::CHECKS {
        match check() {
            Ok(()) => println!("ok   {name}"),
            Err(reason) => {
                failed += 1;
                println!("FAIL {name}: {reason}");
            }
        }
    }
    match failed {
        0 => {
            println!("host scenario: {} checks passed", checks::CHECKS.len());
            ExitCode::SUCCESS
        }
        _ => {
            println!("host scenario: {failed} checks failed");
            ExitCode::FAILURE
        }
    }
}
