//! The clock: Xen keeps a record of the time for each virtual CPU, and one of the time of day.
//!
//! System time is Xen's own, in nanoseconds: it does not begin at 0 with this domain, and has another zero
//! where the domain is restored. The kernel's clock goes on there from where it was.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::pvclock::{
    Flags, MonotonicClock, Parameters, TimeInfoPointer, WallClockError, WallClockPointer,
};
use pvops_core::{Kernel, cpu, irq};
use spin::Once;

use crate::event_channel;
use crate::shared_info::{self, VcpuInfo};

static CLOCK: MonotonicClock = MonotonicClock::new();
static LEAD: Lead = Lead(AtomicU64::new(0));
static WALL_CLOCK: Once<WallClockPointer> = Once::new();

/// What is in the record of this CPU; `None` if it makes no sense. Once the CPU's `vcpu_info` is known.
pub(crate) fn start(kernel: &dyn Kernel) -> Option<Parameters> {
    start_on(kernel.cpu_index())
}

/// The same of a CPU by its index.
pub(crate) fn start_on(cpu: usize) -> Option<Parameters> {
    // A Xen that is too old to have the flag leaves it 0.
    CLOCK.set_valid_flags(Flags::TSC_STABLE);
    record(shared_info::of(cpu)?).parameters().ok()
}

/// Whether there is a time of day, or there will be one. Once the shared page is known.
pub(crate) fn start_wall_clock() -> bool {
    let Some(page) = shared_info::get() else {
        return false;
    };
    // SAFETY: the page stays mapped for good, and is made of atomics.
    let pointer = unsafe { WallClockPointer::new(NonNull::from(&page.wall_clock)) };
    let Ok(pointer) = pointer else {
        return false;
    };
    match WALL_CLOCK.call_once(|| pointer).read() {
        Ok(_) => true,
        // To PVH and HVM domains Xen tells it when they say how events come (`hvm_latch_shinfo_size` of
        // its arch/x86/hvm/hvm.c).
        Err(WallClockError::Unwritten) => event_channel::lent_vector().is_some(),
        Err(_) => false,
    }
}

/// The op `time.clock_ns`.
pub(crate) unsafe extern "C" fn clock_ns() -> u64 {
    LEAD.clock_ns(system_time_ns())
}

/// The system time has another zero from now on. No other CPU runs.
pub(crate) fn restart() {
    CLOCK.restart();
}

/// Has the kernel's clock show `now_ns`. No other CPU runs, and this one's record is there.
pub(crate) fn go_on_from(now_ns: u64) {
    LEAD.set(now_ns, system_time_ns());
}

/// The system time when the kernel's clock shows `clock_ns`, as PV guests' timers want it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn system_time_at(clock_ns: u64) -> u64 {
    LEAD.system_time_ns(clock_ns)
}

/// The op `time.wall_clock_ns`.
pub(crate) unsafe extern "C" fn wall_clock_ns() -> u64 {
    let Some(pointer) = WALL_CLOCK.get() else {
        return 0;
    };
    let system_time_ns = system_time_ns();
    let boot_time = pointer.read();
    boot_time.map_or(0, |boot_time| boot_time.wall_ns_at(system_time_ns))
}

/// Xen's system time in nanoseconds, which is what Xen's timers go by; 0 before the backend is installed, but
/// in PV guests. Any context.
pub fn system_time_ns() -> u64 {
    // The record is that of the CPU whose time-stamp counter is read, so stay on it.
    let flags = irq::save_flags();
    irq::disable();
    let now = shared_info::of_this_cpu()
        .map_or(0, |info| CLOCK.now_ns(record(info), cpu::read_tsc_ordered));
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
    now
}

/// The last system time that Xen's timers know, `STIME_MAX` of its xen/time.h: what is later is before all
/// others to them, and they fire at once.
pub(crate) const LAST_NS: u64 = i64::MAX as u64;

fn record(info: &'static VcpuInfo) -> TimeInfoPointer {
    // SAFETY: the record stays mapped for good, and is made of atomics.
    let pointer = unsafe { TimeInfoPointer::new(NonNull::from(&info.time)) };
    // 32 bytes in a structure of 64, which is aligned so.
    pointer.unwrap_or_else(|_| unreachable!())
}

/// How far the kernel's clock is ahead of the system time, in nanoseconds modulo 2^64.
struct Lead(AtomicU64);

impl Lead {
    /// Has the clock show `clock_ns` at that system time.
    fn set(&self, clock_ns: u64, system_time_ns: u64) {
        let lead_ns = clock_ns.wrapping_sub(system_time_ns);
        self.0.store(lead_ns, Ordering::Relaxed);
    }

    /// What the clock shows at that system time.
    fn clock_ns(&self, system_time_ns: u64) -> u64 {
        system_time_ns.wrapping_add(self.0.load(Ordering::Relaxed))
    }

    /// The system time when the clock shows `clock_ns`, or 1 if that was before it began: 0 means never to
    /// Xen's timers.
    #[cfg(any(test, target_arch = "x86_64"))]
    fn system_time_ns(&self, clock_ns: u64) -> u64 {
        let behind_ns = self.0.load(Ordering::Relaxed).wrapping_neg() as i64;
        clock_ns.saturating_add_signed(behind_ns).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_where_the_system_time_is_another() {
        // (clock, system time) when the domain goes on: on a younger host, on an older one, where it was.
        for (clock_ns, system_time_ns) in [(5_000, 200), (5_000, 1 << 50), (5_000, 5_000)] {
            let lead = Lead(AtomicU64::new(0));
            lead.set(clock_ns, system_time_ns);
            assert_eq!(lead.clock_ns(system_time_ns), clock_ns);
            assert_eq!(lead.clock_ns(system_time_ns + 70), clock_ns + 70);
            assert_eq!(lead.system_time_ns(clock_ns + 70), system_time_ns + 70);
            assert_eq!(lead.system_time_ns(clock_ns - 70), system_time_ns - 70);
        }
    }

    #[test]
    fn a_timer_for_before_the_system_time_began_is_not_never() {
        let lead = Lead(AtomicU64::new(0));
        assert_eq!(lead.system_time_ns(0), 1);
        lead.set(5_000, 200);
        assert_eq!(lead.system_time_ns(4_800), 1);
        assert_eq!(lead.system_time_ns(3), 1);
    }

    #[test]
    fn a_timer_for_never_stays_there() {
        let lead = Lead(AtomicU64::new(0));
        lead.set(200, 5_000);
        assert_eq!(lead.system_time_ns(u64::MAX), u64::MAX);
    }
}
