//! Time that passes only where it is told to, or asked for.

/// The clock, the time-stamp counter, and the one event that is set.
#[derive(Default)]
pub(super) struct Time {
    now_ns: u64,
    /// The counter goes by one a nanosecond; this is what it had at 0.
    tsc_at_zero: u64,
    wall_clock_at_zero_ns: Option<u64>,
    pub(super) vector: Option<u8>,
    deadline_ns: Option<u64>,
}

impl Time {
    /// Reads the clock. That takes a nanosecond, so that loops that wait for a time end.
    pub(super) fn read_ns(&mut self) -> u64 {
        self.now_ns += 1;
        self.now_ns
    }

    pub(super) fn read_tsc(&mut self) -> u64 {
        self.tsc_at_zero.wrapping_add(self.read_ns())
    }

    /// What the counter reads as next.
    pub(super) fn set_tsc(&mut self, tsc: u64) {
        self.tsc_at_zero = tsc.wrapping_sub(self.now_ns + 1);
    }

    pub(super) fn set_wall_clock_ns(&mut self, wall_clock_ns: u64) {
        self.wall_clock_at_zero_ns = Some(wall_clock_ns.saturating_sub(self.now_ns));
    }

    pub(super) fn wall_clock_ns(&self) -> u64 {
        self.wall_clock_at_zero_ns
            .map_or(0, |at_zero| at_zero + self.now_ns)
    }

    pub(super) fn advance_ns(&mut self, by_ns: u64) {
        self.now_ns += by_ns;
    }

    /// Sets the event; whether its time is yet to come.
    pub(super) fn set_event(&mut self, deadline_ns: u64) -> bool {
        self.deadline_ns = Some(deadline_ns);
        deadline_ns > self.now_ns
    }

    pub(super) fn cancel_event(&mut self) {
        self.deadline_ns = None;
    }

    /// The vector of the event, once, if its time has come.
    pub(super) fn take_event(&mut self) -> Option<u8> {
        self.deadline_ns
            .take_if(|deadline| *deadline <= self.now_ns)?;
        self.vector
    }

    /// Sleeps until the event; whether there is one.
    pub(super) fn sleep(&mut self) -> bool {
        let wakes = self.vector.is_some();
        match self.deadline_ns.filter(|_| wakes) {
            Some(deadline) => {
                self.now_ns = self.now_ns.max(deadline);
                true
            }
            None => false,
        }
    }
}
