//! A host that stops the machine in the middle of its work.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pvops_backend_kvm::Features;
use pvops_core::time;

use super::Outcome;
use super::apic::wait_for;
use super::{smp, time as time_checks};
use crate::console::report;
use crate::cpus;
use crate::per_cpu::MAX_CPUS;
use crate::text::{ensure, text};
use crate::trap::{self, TIMER_VECTOR};
use crate::work::{begin, finish};

/// The time of day goes on by more than the clock, which stands still with the machine. So much more is none
/// of the rounding of a clock of whole seconds.
const STANDSTILL_NS: i64 = 1_500_000_000;
/// How long the host may take to stop the machine.
const PATIENCE_NS: u64 = 60_000_000_000;

/// What a CPU has found wrong, each a bit: a clock behind what any CPU has read before.
const WENT_BACK: u64 = 1 << 0;
/// The event that was set did not come.
const EVENT_LOST: u64 = 1 << 1;
/// The host did not tell that the CPU was stopped, which only KVM does.
const NOT_TOLD: u64 = 1 << 2;

/// How many CPUs watch.
static WATCHING: AtomicUsize = AtomicUsize::new(0);
/// Whether the machine was stopped, or is not going to be.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// The latest time that any CPU has read.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// While the machine is stopped and after, no CPU's clock goes back, each CPU's events come, and KVM
/// tells each CPU.
pub(super) fn stopped() -> Outcome {
    let count = cpus::count();
    (1..count).for_each(|cpu| begin(cpu, watch, 0));
    let start = time::clock_ns();
    while WATCHING.load(Ordering::Acquire) < count - 1 {
        let late = time::clock_ns() - start > PATIENCE_NS;
        ensure!(!late, "a CPU does not run");
    }
    let mut watch = Watch::start();
    let is_told = Features::in_use().intersects(Features::CLOCKSOURCE | Features::CLOCKSOURCE2);
    // The host may stop the machine before the line has left it.
    let ahead_ns = day_ahead();
    report!("\"event\":\"ready_to_stop\"");
    let standstill = wait_for_standstill(&mut watch, is_told, ahead_ns);
    IS_OVER.store(true, Ordering::Release);
    let mut faults = [0; MAX_CPUS];
    faults[0] = watch.end();
    for (cpu, faults) in faults.iter_mut().enumerate().take(count).skip(1) {
        let Some(of_cpu) = finish(cpu) else {
            return Err(text!("CPU {cpu} is gone"));
        };
        *faults = of_cpu;
    }
    let Some(more_ns) = standstill else {
        return Err(text!("the machine was not stopped in {PATIENCE_NS} ns"));
    };
    for (cpu, &faults) in faults.iter().enumerate().take(count) {
        ensure!(faults & WENT_BACK == 0, "the clock of CPU {cpu} went back");
        ensure!(faults & EVENT_LOST == 0, "an event of CPU {cpu} is lost");
        let told = faults & NOT_TOLD == 0;
        ensure!(told == is_told, "CPU {cpu} was told: {told}, not {is_told}");
    }
    time_checks::ticks()?;
    smp::events()?;
    let told = if is_told { "" } else { "not " };
    Ok(text!(
        "{count} CPUs, {told}told; day ahead {} ms more",
        more_ns / 1_000_000
    ))
}

/// How far the time of day is ahead of the clock.
fn day_ahead() -> i64 {
    let ahead = |_| {
        let clock = time::clock_ns() as i64;
        time::wall_clock_ns() as i64 - clock
    };
    // If the host is away in between, it seems to be more.
    (0..10).map(ahead).min().unwrap_or(0)
}

/// Waits until the machine was stopped: KVM tells, elsewhere the time of day shows it, which was `ahead_ns`
/// ahead of the clock. Gives by how much more it is. `None` if the machine goes on.
fn wait_for_standstill(watch: &mut Watch, is_told: bool, ahead_ns: i64) -> Option<i64> {
    let start = time::clock_ns();
    while time::clock_ns() - start < PATIENCE_NS {
        watch.look();
        let day = time::wall_clock_ns() as i64;
        // If the host is away in between, it seems to be less.
        let more_ns = day - time::clock_ns() as i64 - ahead_ns;
        let was_stopped = match is_told {
            true => watch.faults & NOT_TOLD == 0,
            false => more_ns >= STANDSTILL_NS,
        };
        if was_stopped {
            return Some(more_ns);
        }
    }
    None
}

/// What another CPU does meanwhile; gives what it has found wrong.
fn watch(_: usize) -> u64 {
    let mut watch = Watch::start();
    WATCHING.fetch_add(1, Ordering::Release);
    while !IS_OVER.load(Ordering::Acquire) {
        watch.look();
    }
    watch.end()
}

/// A CPU's watch on its clock and its events.
struct Watch {
    faults: u64,
    /// The count of events when the last one that was set has come.
    events: u64,
}

impl Watch {
    fn start() -> Self {
        // Earlier stops do not count.
        time::was_stopped();
        Self {
            faults: NOT_TOLD,
            events: trap::count(TIMER_VECTOR),
        }
    }

    /// Reads the clock, and sets the next event if the last one has come: one is always set.
    fn look(&mut self) {
        const AHEAD_NS: u64 = 10_000_000;
        let latest = LATEST.load(Ordering::Acquire);
        let now = time::clock_ns();
        if now < latest {
            self.faults |= WENT_BACK;
        }
        LATEST.fetch_max(now, Ordering::Release);
        if time::was_stopped() {
            self.faults &= !NOT_TOLD;
        }
        if trap::count(TIMER_VECTOR) >= self.events {
            self.events += 1;
            // Passed or not, the event comes.
            let _ = time::set_event(now + AHEAD_NS);
        }
    }

    /// Goes on for a while after the standstill, then waits for the event that is set.
    fn end(mut self) -> u64 {
        const LOOKS: u32 = 1000;
        (0..LOOKS).for_each(|_| self.look());
        if !wait_for(TIMER_VECTOR, self.events) {
            self.faults |= EVENT_LOST;
        }
        self.faults
    }
}
