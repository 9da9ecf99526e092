//! The interrupt flag.

use pvops_core::{apic, irq, time};

use super::Outcome;
use crate::text::{ensure, text};
use crate::trap::{self, SELF_VECTOR};

const INTERRUPT_FLAG: usize = 1 << 9;

fn enabled() -> bool {
    irq::save_flags() & INTERRUPT_FLAG != 0
}

/// Save, disable, enable and restore do what they say.
pub(super) fn flags() -> Outcome {
    ensure!(enabled(), "interrupts are off to begin with");
    let on = irq::save_flags();
    irq::disable();
    ensure!(!enabled(), "disable leaves interrupts on");
    let off = irq::save_flags();
    // SAFETY: interrupts were on before, and the flags are ours.
    unsafe {
        irq::enable();
        ensure!(enabled(), "enable leaves interrupts off");
        irq::restore_flags(off);
        ensure!(!enabled(), "restoring disabled interrupts leaves them on");
        irq::restore_flags(on);
    }
    ensure!(enabled(), "restoring enabled interrupts leaves them off");
    Ok(text!("save, disable, enable, restore"))
}

/// An interrupt that comes while they are off is delivered when they are on again, not before.
pub(super) fn masked() -> Outcome {
    let before = trap::count(SELF_VECTOR);
    let while_off = irq::without(|| {
        super::apic::send_self(SELF_VECTOR);
        let start = time::clock_ns();
        while time::clock_ns() - start < 100_000 {}
        trap::count(SELF_VECTOR) - before
    });
    ensure!(while_off == 0, "an interrupt came while they were off");
    let came = super::apic::wait_for(SELF_VECTOR, before + 1);
    ensure!(came, "the interrupt did not come when they were on again");
    // SAFETY: the register exists: the APIC's version.
    let version = unsafe { apic::read(3) };
    Ok(text!(
        "held back for 100 us, local APIC version {:#x}",
        version & 0xff
    ))
}
