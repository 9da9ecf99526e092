//! Live patching in a Linux process: sites change a hundred thousand times while threads run them.
//!
//! The text is mapped twice, executable and writable, as a kernel would have it: no protection
//! changes meanwhile, for that would interrupt all threads and so hide a missing step of the
//! protocol. SIGTRAP is the #BP handler, `membarrier` the interrupt to all CPUs.

mod backend;
mod checks;
mod hammer;
mod process;
mod refusals;
mod through;

use std::process::ExitCode;

use pvops_tests::check::{Check, run};

const CHECKS: &[Check] = &[
    ("without a backend nothing changes", refusals::not_installed),
    ("the text is mapped twice", process::start),
    ("a backend is installed", checks::install),
    ("sites, table and bindings change", checks::change),
    ("a CPU at an INT3 does the new thing", checks::breakpoints),
    ("an INT3 of somebody else is left alone", checks::foreign),
    ("sites of more than a batch change", checks::batches),
    ("a longer site changes to another call", checks::longer),
    ("tampered sites are refused", refusals::tampered),
    ("several instructions are refused", refusals::several),
    ("a return into the middle is refused", refusals::inside),
    #[cfg(target_pointer_width = "64")]
    ("a far function is refused", refusals::far),
    ("bad requests are refused", refusals::requests),
    ("a window that leads nowhere is noticed", refusals::window),
    ("call to call, under fire", hammer::call_and_call),
    ("call to NOP, under fire", hammer::call_and_nop),
    ("instruction to call, under fire", hammer::inline_and_call),
];

fn main() -> ExitCode {
    run("live patching", CHECKS)
}
