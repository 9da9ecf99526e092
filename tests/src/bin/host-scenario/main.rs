//! The library inside an ordinary Linux process: real call sites, really patched, really run.
//!
//! Nothing privileged can be executed here, so the [backend] does without: its CPU is the one that
//! `pvops_core::testing` simulates. What is tested is what does not depend on the host: that sites work before
//! patching, that nothing is written unless everything can be, that each outcome is what it should
//! be, and that the thunks of every shape pass what they should and lose no register. `cargo xtask
//! test` builds and runs this with every linker, profile and relocation model.

mod backend;
mod exits;
mod faults;
mod file;
mod loaded;
mod ops;
mod outcomes;
mod refusals;
mod thunks;

use std::process::ExitCode;

use pvops_tests::check::{Check, run};

/// In the order in which the process goes through them: before, at and after patching.
const CHECKS: &[Check] = &[
    ("unpatched sites work", ops::unpatched),
    ("unpatched exits lead where they should", exits::exits),
    ("the image and its file agree", file::agrees),
    (
        "a tampered site is named, and nothing is written",
        refusals::tampered,
    ),
    ("bad records are refused", refusals::bad_records),
    ("a far function is out of range", refusals::out_of_range),
    ("installing patches all sites", outcomes::install),
    ("installing twice is refused", refusals::twice),
    ("every site decodes to its outcome", outcomes::outcomes),
    ("patched ops reach the backend", ops::patched),
    ("patched exits lead where they should", exits::exits),
    ("lazy mode reaches the backend", ops::lazy),
    ("an op that is not available traps", ops::trap),
    ("thunks lose no register", thunks::thunks),
    ("code loaded later is patched", loaded::module),
    ("text is not writable", loaded::text_is_read_only),
];

fn main() -> ExitCode {
    faults::catch();
    run("host scenario", CHECKS)
}
