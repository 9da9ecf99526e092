//! The local APIC.

use pvops_core::{apic, irq, time};

use super::Outcome;
use crate::text::{ensure, text};
use crate::trap::{self, SELF_VECTOR};

/// Interrupt command: destination shorthand "self", level assert. Intel SDM volume 3, figure 12-12.
const TO_SELF: u64 = 1 << 18 | 1 << 14;

/// Sends this CPU an interrupt.
pub(super) fn send_self(vector: u8) {
    // SAFETY: every vector has a handler.
    unsafe { apic::write_icr(TO_SELF | u64::from(vector)) };
}

/// Waits up to ten seconds until a vector has come `count` times.
pub(super) fn wait_for(vector: u8, count: u64) -> bool {
    wait_until(|| trap::count(vector) >= count)
}

/// Waits up to ten seconds.
pub(super) fn wait_until(is_so: impl Fn() -> bool) -> bool {
    let start = time::clock_ns();
    while !is_so() {
        if time::clock_ns() - start > 10_000_000_000 {
            return false;
        }
    }
    true
}

/// A hundred interrupts to this CPU, each ended by EOI, all arrive.
pub(super) fn self_interrupt() -> Outcome {
    const COUNT: u64 = 100;
    let before = trap::count(SELF_VECTOR);
    for sent in 1..=COUNT {
        send_self(SELF_VECTOR);
        ensure!(
            wait_for(SELF_VECTOR, before + sent),
            "interrupt {sent} did not come"
        );
    }
    let came = trap::count(SELF_VECTOR) - before;
    ensure!(came == COUNT, "{came} interrupts came instead of {COUNT}");
    Ok(text!("{COUNT} sent, {COUNT} came"))
}

/// A second interrupt of the same vector waits in the request register until the first is ended.
pub(super) fn pending() -> Outcome {
    /// First of the eight interrupt-request registers.
    const REQUESTS: u32 = 0x20;
    let before = trap::count(SELF_VECTOR);
    let requested = irq::without(|| {
        send_self(SELF_VECTOR);
        let start = time::clock_ns();
        // SAFETY: the register exists.
        let request = || unsafe { apic::read(REQUESTS + u32::from(SELF_VECTOR) / 32) };
        while request() & 1 << (SELF_VECTOR % 32) == 0 {
            if time::clock_ns() - start > 1_000_000_000 {
                return false;
            }
        }
        true
    });
    ensure!(
        requested,
        "the request register does not show the interrupt"
    );
    ensure!(
        wait_for(SELF_VECTOR, before + 1),
        "the interrupt did not come"
    );
    Ok(text!("requested, then delivered"))
}
