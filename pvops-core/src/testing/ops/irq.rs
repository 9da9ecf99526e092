//! The interrupt flag.

use super::{simulated, thunk};
use crate::bindings;
use crate::testing::state::{State, stop};

pub(super) const BINDINGS: bindings::irq = simulated!(irq {
    thunk save_flags() -> usize = |state| state.interrupts.flags();
    thunk restore_flags(flags: usize) = |state| state.interrupts.set_flags(flags);
    thunk disable() = |state| state.interrupts.is_on = false;
    thunk enable() = |state| state.interrupts.is_on = true;
    thunk halt() = |state| sleep(state);
    thunk safe_halt() = |state| {
        state.interrupts.is_on = true;
        sleep(state);
    };
} else {});

/// Until an interrupt comes: one that waits, or the event.
fn sleep(state: &mut State) {
    if !state.interrupts.is_on {
        stop("a simulated CPU halts with interrupts off: nothing wakes it");
    }
    if state.interrupts.pending.is_empty() && !state.time.sleep() {
        stop(
            "a simulated CPU halts, no interrupt is pending and no event is set: nothing wakes it",
        );
    }
    state.note_event();
}
