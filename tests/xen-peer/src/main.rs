//! Dom0's end of the self-test: runs the kernel as a domain, and does there what the kernel asks for.
//!
//! `xen-peer DOMAIN SECONDS`: has xl create the domain by `/guest/DOMAIN.cfg`, and says how it ended, in a
//! word or a sentence. If that takes too long it is killed by an alarm, and says nothing.
//!
//! All of the toolstack that the kernel is to be seen with is xl; what only serves the test is done here,
//! as each program that Linux starts takes a tenth of a second and more where the machine is emulated.

mod console;
mod domain;
mod exchange;
mod requests;
mod toolstack;
mod xenstore;

use std::env;
use std::io;
use std::process::ExitCode;

use domain::Domain;

fn main() -> ExitCode {
    match run() {
        Ok(end) => {
            println!("{end}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("lost, xen-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<String> {
    let mut arguments = env::args().skip(1);
    let (name, seconds) = (arguments.next(), arguments.next());
    let seconds = seconds.and_then(|text| text.parse().ok());
    let (Some(name), Some(seconds)) = (name, seconds) else {
        return Err(io::Error::other("DOMAIN SECONDS"));
    };
    // SAFETY: it has no preconditions; the signal ends the program.
    unsafe { libc::alarm(seconds) };
    Domain::new(name)?.run()
}
