//! Time in a PV guest: Xen's clock, and its one-shot timer.

use pvops_core::event::EventStatus;
use pvops_core::{bindings, call, preserve};

use super::{events, this_cpu};
use crate::{clock, runstate, vcpu};

pub(super) const BINDINGS: bindings::time = bindings::time {
    clock_ns: preserve!(time::clock_ns, clock::clock_ns),
    setup_event: call!(time::setup_event, setup_event),
    set_event: call!(time::set_event, set_event),
    cancel_event: call!(time::cancel_event, cancel_event),
    stolen_ns: preserve!(time::stolen_ns, runstate::stolen_ns),
    was_stopped: pvops_core::inline!(time::was_stopped, "xor eax, eax"),
    wall_clock_ns: call!(time::wall_clock_ns, no_wall_clock),
};

unsafe extern "C" fn setup_event(vector: u8) {
    events::set_timer_vector(vector);
    let _ = vcpu::stop_singleshot_timer(this_cpu::id());
}

/// A deadline that has passed comes at once, by Xen.
unsafe extern "C" fn set_event(deadline_ns: u64) -> EventStatus {
    let passed = deadline_ns <= pvops_core::time::clock_ns();
    match vcpu::set_singleshot_timer(this_cpu::id(), clock::system_time_at(deadline_ns)) {
        Err(_) => EventStatus::NO_TIMER,
        Ok(()) if passed => EventStatus::PASSED,
        Ok(()) => EventStatus::SET,
    }
}

unsafe extern "C" fn cancel_event() {
    let _ = vcpu::stop_singleshot_timer(this_cpu::id());
}

unsafe extern "C" fn no_wall_clock() -> u64 {
    0
}
