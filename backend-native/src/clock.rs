//! The clock: the time-stamp counter, scaled to nanoseconds.

use pvops_core::backend::BindError;
use pvops_core::cpu;
use pvops_core::tsc::TscFrequency;
use pvops_core::tsc_scale::TscScale;
use spin::Once;

static CLOCK: Once<Clock> = Once::new();

struct Clock {
    /// The counter when the clock was started.
    start_tsc: u64,
    scale: TscScale,
}

/// Starts the clock at 0.
///
/// # Errors
///
/// If no counter runs at that rate.
pub(crate) fn start(frequency: TscFrequency) -> Result<(), BindError> {
    let scale = TscScale::from_tsc_khz(frequency.khz())
        .ok_or(BindError("the time-stamp counter's rate is out of range"))?;
    CLOCK.call_once(|| Clock {
        start_tsc: cpu::read_tsc_ordered(),
        scale,
    });
    Ok(())
}

/// The op `time.clock_ns`.
pub(crate) unsafe extern "C" fn clock_ns() -> u64 {
    CLOCK.get().map_or(0, |clock| {
        // A counter behind the start is another CPU's that is not quite in step.
        clock
            .scale
            .ticks_to_ns(cpu::read_tsc_ordered().saturating_sub(clock.start_tsc))
    })
}

/// How far the counter goes in a time; 0 before the clock is started.
pub(crate) fn ticks(time_ns: u64) -> u64 {
    CLOCK
        .get()
        .map_or(0, |clock| clock.scale.ns_to_ticks(time_ns))
}
