//! What became of an event that a CPU was told to wait for.

use crate::op::FromRegister;

/// The answer of [`time::set_event`](fn@crate::time::set_event).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[repr(transparent)]
pub struct EventStatus(pub(crate) usize);

impl EventStatus {
    /// The event is set.
    pub const SET: EventStatus = EventStatus(0);
    /// The deadline had passed already; the event comes at once.
    pub const PASSED: EventStatus = EventStatus(1);
    /// This host has no event timer that the backend can use.
    pub const NO_TIMER: EventStatus = EventStatus(2);
}

impl FromRegister for EventStatus {
    fn from_register(register: u64) -> Self {
        EventStatus(register as usize)
    }
}
