//! The kernel's end: off, reset or crashed, the host is to write nothing into memory that may be
//! another kernel's next.

use pvops_backend_native as native;
use pvops_core::{bindings, call, irq};

use crate::features::Features;
use crate::{async_page_fault, clock, end_of_interrupt, steal_time};

/// The native ops, which first have the host leave this CPU's records alone.
pub(crate) const fn leaving_nothing(native: bindings::system) -> bindings::system {
    bindings::system {
        poweroff: call!(system::poweroff, power_off),
        reboot: call!(system::reboot, reset),
        report_crash: call!(system::report_crash, silence_host),
        ..native
    }
}

/// The op `system.report_crash`. Has the host write none of this CPU's records any more, by registers
/// alone: whoever has crashed may hold any lock. Any context.
unsafe extern "C" fn silence_host() {
    let features = Features::in_use();
    let flags = irq::save_flags();
    irq::disable();
    if features.contains(Features::STEAL_TIME) {
        steal_time::disable();
    }
    if features.contains(Features::PV_EOI) {
        end_of_interrupt::disable();
    }
    if features.contains(Features::ASYNC_PF_INT) {
        async_page_fault::disable();
    }
    clock::stop(features);
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
}

unsafe extern "C" fn power_off() {
    // SAFETY: the kernel is at its end.
    unsafe {
        silence_host();
        native::power_off();
    }
}

unsafe extern "C" fn reset() {
    // SAFETY: the kernel is at its end.
    unsafe {
        silence_host();
        native::reset();
    }
}
