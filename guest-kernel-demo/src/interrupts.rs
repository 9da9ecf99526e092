//! Interrupts of this CPU: the old controllers silenced, the local APIC and the event timer on.

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::{apic, io, irq, time};

use crate::per_cpu;
use crate::trap::{SPURIOUS_VECTOR, TIMER_VECTOR};

/// The local APIC's register for spurious interrupts, with its enable bit.
/// Intel SDM volume 3, figure 12-23.
const SPURIOUS: u32 = 0xf;
const SPURIOUS_ENABLE: u32 = 1 << 8;

/// Silences the two 8259s; a machine without them ignores this. Boot CPU, interrupts off.
pub(crate) fn mask_legacy() {
    const MASKS: [u16; 2] = [0x21, 0xa1];
    // SAFETY: no interrupt of theirs is wanted.
    unsafe { MASKS.iter().for_each(|&port| io::out8(port, 0xff)) };
}

/// Turns interrupts on, on this CPU.
///
/// # Safety
///
/// Once on each CPU, with the interrupt descriptor table loaded, the old controllers silenced and the
/// CPU brought up.
pub(crate) unsafe fn start() {
    // SAFETY: all vectors have handlers.
    unsafe {
        apic::write(SPURIOUS, SPURIOUS_ENABLE | u32::from(SPURIOUS_VECTOR));
        time::setup_event(TIMER_VECTOR);
        irq::enable();
    }
}

/// Enables interrupts and waits for one; they are off before and after. None can slip in before the
/// wait; where one can ([`distrust_halt`]), the wait ends after a while all the same.
pub(crate) fn wait() {
    let this = per_cpu::this();
    let distrust = DISTRUST_HALT.load(Ordering::Relaxed);
    if distrust {
        this.waits.store(true, Ordering::Relaxed);
        set_wake_up();
    }
    // SAFETY: interrupts have handlers.
    unsafe { irq::safe_halt() };
    irq::disable();
    if distrust {
        this.waits.store(false, Ordering::Relaxed);
        time::cancel_event();
    }
}

/// The event has come: of one that has slipped in before a wait, another has to follow.
pub(crate) fn event_came() {
    if per_cpu::this().waits.load(Ordering::Relaxed) {
        set_wake_up();
    }
}

fn set_wake_up() {
    const WHILE_NS: u64 = 20_000_000;
    // One that has passed already comes at once.
    let _ = time::set_event(time::clock_ns() + WHILE_NS);
}

/// For hosts that forget the shadow of STI, in which no interrupt comes: QEMU's emulation of SVM.
pub(crate) fn distrust_halt() {
    DISTRUST_HALT.store(true, Ordering::Relaxed);
}

static DISTRUST_HALT: AtomicBool = AtomicBool::new(false);
