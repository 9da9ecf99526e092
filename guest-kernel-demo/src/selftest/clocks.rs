//! Clocks and counters that the machine has. What reading one costs is for the host to count.

use pvops_core::{cpu, io, time};

use super::Outcome;
use crate::boot;
use crate::clocks::{Hpet, Pit};
use crate::text::{ensure, text};

/// The library's clock.
pub(super) fn library() -> Outcome {
    goes_on(u64::MAX, time::clock_ns)
}

/// The time-stamp counter.
pub(super) fn tsc() -> Outcome {
    goes_on(u64::MAX, cpu::read_tsc_ordered)
}

/// The power-management timer. ACPI 6.5, section 4.8.3.3: some have 24 bits, some 32.
pub(super) fn pm_timer() -> Outcome {
    let port = boot::pm_timer().ok_or(text!("there is none"))?;
    // SAFETY: reading the timer has no effect.
    goes_on(0xff_ffff, || u64::from(unsafe { io::in32(port) }))
}

/// The high-precision event timer.
pub(super) fn hpet() -> Outcome {
    let hpet = Hpet::start().ok_or(text!("there is none, or no addresses are left"))?;
    goes_on(u64::from(u32::MAX), || u64::from(hpet.read()))
}

/// The programmable interval timer, which counts down.
pub(super) fn pit() -> Outcome {
    let pit = Pit::start();
    goes_on(0xffff, || u64::from(!pit.read()))
}

/// Reads a counter with so many bits again and again. It goes on, and never back; a step of more than
/// half the way round is one back.
fn goes_on(mask: u64, read: impl Fn() -> u64) -> Outcome {
    const READS: u64 = 2000;
    let mut last = read();
    let mut passed = 0;
    for _ in 1..READS {
        let now = read();
        let step = now.wrapping_sub(last) & mask;
        ensure!(step <= mask / 2, "it went back from {last} to {now}");
        passed += step;
        last = now;
    }
    ensure!(passed > 0, "it stands at {last}");
    Ok(text!("{READS} reads, {passed} later"))
}
