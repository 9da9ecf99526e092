//! Counters and alarms (asm/vmi_time.h; the specification, section "Timer Interface").

/// A counter of cycles (vmi_time.h, `VMI_CYCLES_*`). Available and stolen cycles add up to the real
/// ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Counter(pub u32);

impl Counter {
    /// While the machine was not suspended.
    pub const REAL: Self = Self(0);
    /// While this CPU ran or was halted.
    pub const AVAILABLE: Self = Self(1);
    /// While this CPU was ready and something else ran.
    pub const STOLEN: Self = Self(2);
}

/// The first argument of `SetAlarm`, and that of `CancelAlarm`, of which only the counter counts: Linux
/// passes both calls the same (vmi_time.h, `VMI_ALARM_*`). There is one alarm for each CPU and each
/// of the first two counters; setting it again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct AlarmFlags(pub u32);

impl AlarmFlags {
    /// The bits with the [`Counter`].
    pub const COUNTER_MASK: u32 = 0xFF;
    /// Counters below this number have alarms.
    pub const ALARM_COUNTERS: u32 = 2;
    /// The alarm comes back every period; beats that were missed are one.
    pub const PERIODIC: u32 = 0x100;
    /// The alarm comes as IRQ 0.
    pub const WIRED_IRQ0: u32 = 0;
    /// The alarm comes by the local vector table of the CPU's APIC, by the entry for the timer.
    pub const WIRED_LVTT: u32 = 0x10000;

    /// The counter that the alarm is of.
    pub const fn counter(self) -> Counter {
        Counter(self.0 & Self::COUNTER_MASK)
    }
}
