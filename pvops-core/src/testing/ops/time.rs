//! Time, and the one event.

use super::{simulated, thunk};
use crate::bindings;
use crate::call;
use crate::event::EventStatus;
use crate::testing::state::{State, perform_unnoted};

pub(super) const BINDINGS: bindings::time = simulated!(time {
    call setup_event(vector: u8) = |state| {
        state.time.vector = Some(vector);
        state.time.cancel_event();
    };
    call set_event(deadline_ns: u64) -> EventStatus = |state| match state.time.set_event(deadline_ns) {
        true => EventStatus::SET,
        false => {
            state.note_event();
            EventStatus::PASSED
        }
    };
    call cancel_event() = |state| state.time.cancel_event();
    // Nobody else runs on it.
    thunk stolen_ns(cpu: usize) -> u64 = |_| 0;
    thunk was_stopped() -> bool = |_| false;
    call wall_clock_ns() -> u64 = |state| state.time.wall_clock_ns();
} else {
    clock_ns: thunk!(time::clock_ns, clock_ns),
});

unsafe extern "C" fn clock_ns() -> u64 {
    perform_unnoted(|state| {
        let now_ns = state.time.read_ns();
        state.note_event();
        now_ns
    })
}

impl State {
    /// Has the event come, if its time has.
    pub(in crate::testing) fn note_event(&mut self) {
        if let Some(vector) = self.time.take_event() {
            self.interrupts.pending.insert(vector);
        }
    }
}
