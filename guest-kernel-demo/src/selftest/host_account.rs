//! Steal time against the host's own account.

use core::fmt;

use pvops_core::{io, irq, time};

use super::Outcome;
use crate::console::report;
use crate::text::{ensure, text};
use crate::work::{begin, finish, run_on};
use crate::{cpus, interrupts};

/// So much is stolen from each CPU before the accounts are compared: by what they may be apart, and more.
const STOLEN_NS: u64 = 4_000_000_000;
/// How long all CPUs may take for that, and the host to answer.
const PATIENCE_NS: u64 = 60_000_000_000;

/// All CPUs want to run until the host has stolen time from each. The machine line then tells how
/// much, and the kernel waits, idle, until the host has told its own account and sends a byte. A second line
/// tells how much it is then, as some time may be stolen in between. Whether the host's account is between
/// the two is for who reads the lines.
pub(super) fn compared() -> Outcome {
    (1..cpus::count()).for_each(|cpu| begin(cpu, run_until_stolen, 0));
    run_until_stolen(0);
    for cpu in 1..cpus::count() {
        ensure!(finish(cpu).is_some(), "CPU {cpu} is gone");
    }
    for (cpu, ns) in stolen() {
        ensure!(
            ns >= STOLEN_NS,
            "only {ns} ns were stolen from CPU {cpu} in {PATIENCE_NS} ns"
        );
    }
    report!("\"event\":\"stolen_time\"{Stolen}");
    let start = time::clock_ns();
    while !take_byte() {
        let late = time::clock_ns() - start > PATIENCE_NS;
        ensure!(!late, "the host does not tell its account");
        irq::without(|| {
            let _ = time::set_event(time::clock_ns() + 10_000_000);
            interrupts::wait();
        });
    }
    for cpu in 1..cpus::count() {
        // The host brings a CPU's record up to date when it runs.
        ensure!(run_on(cpu, |_| 0, 0).is_some(), "CPU {cpu} is gone");
    }
    report!("\"event\":\"stolen_time_after\"{Stolen}");
    Ok(text!("the host has told its own"))
}

fn run_until_stolen(_: usize) -> u64 {
    let start = time::clock_ns();
    // Until it is so for all: a CPU that ends leaves the others more time.
    while stolen().any(|(_, ns)| ns < STOLEN_NS) && time::clock_ns() - start < PATIENCE_NS {}
    0
}

/// The time stolen from each CPU.
fn stolen() -> impl Iterator<Item = (usize, u64)> {
    (0..cpus::count()).map(|cpu| (cpu, time::stolen_ns(cpu)))
}

/// The same as fields of a JSON object.
struct Stolen;

impl fmt::Display for Stolen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        stolen().try_for_each(|(cpu, ns)| write!(formatter, ",\"{cpu}\":{ns}"))
    }
}

/// Takes a byte from the serial port, if one has come. 16550: the line status register says so.
fn take_byte() -> bool {
    const DATA: u16 = 0x3f8;
    const LINE_STATUS: u16 = DATA + 5;
    const DATA_READY: u8 = 1 << 0;
    // SAFETY: the port is the console's, and nobody else reads from it.
    unsafe {
        let ready = io::in8(LINE_STATUS) & DATA_READY != 0;
        if ready {
            io::in8(DATA);
        }
        ready
    }
}
