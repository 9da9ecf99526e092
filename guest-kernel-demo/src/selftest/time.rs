//! Clock and event timer.

use core::sync::atomic::Ordering;

use pvops_core::event::EventStatus;
use pvops_core::{Kernel, bring_up_cpu, io, irq, system, time};

use super::Outcome;
use super::apic::{send_self, wait_for};
use crate::per_cpu;
use crate::platform::Platform;
use crate::text::{Text, ensure, text};
use crate::trap::{self, SELF_VECTOR, TIMER_VECTOR};

const MILLISECOND_NS: u64 = 1_000_000;

/// The clock does not go back, and does go on.
pub(super) fn monotonic() -> Outcome {
    const READS: u64 = 10_000;
    let start = time::clock_ns();
    let mut last = start;
    for read in 0..READS {
        let now = time::clock_ns();
        ensure!(now >= last, "read {read} went back from {last} to {now}");
        last = now;
    }
    ensure!(last > start, "it stands at {start}");
    Ok(text!("{READS} reads, {} ns each", (last - start) / READS))
}

/// The clock agrees with the PIT, which has a rate of its own.
pub(super) fn against_pit() -> Outcome {
    const TICKS: u16 = 23_864;
    // Where the host is away too often for that, a shorter wait is better than none.
    let Some((least, most, expected)) = closest(TICKS).or_else(|| closest(TICKS / 10)) else {
        return Err(text!("no PIT counted for {LONGEST_NS} ns"));
    };
    let margin = expected * ENOUGH_PPM / 1_000_000;
    ensure!(
        (least.saturating_sub(margin)..=most + margin).contains(&expected),
        "{least} to {most} ns for {expected} ns of the PIT's"
    );
    Ok(text!("{least} to {most} ns for {expected} ns of the PIT's"))
}

/// How well the time between two readings is to be known.
const ENOUGH_PPM: u64 = 5_000;

/// Of ten waits for the PIT the one whose time is known best: how long it took by the clock, at least and at
/// most, and by the PIT. `None` if all took too long.
fn closest(wanted: u16) -> Option<(u64, u64, u64)> {
    const HZ: u64 = 1_193_182;
    // Code that runs for the first time is slow where it is translated, and a host may run something
    // else around a reading: then the time between two readings is known less well, and what is known
    // best counts. A clock with a wrong rate is not within it.
    let mut best: Option<(u64, u64, u64)> = None;
    for _ in 0..10 {
        let Some((ticks, least, most)) = wait_for_pit(wanted) else {
            continue;
        };
        let expected = u64::from(ticks) * 1_000_000_000 / HZ;
        if best
            .is_none_or(|(least_before, most_before, _)| most - least < most_before - least_before)
        {
            best = Some((least, most, expected));
        }
        if (most - least) * 1_000_000 < expected * ENOUGH_PPM {
            break;
        }
    }
    best
}

/// The PIT's counter goes round in 54.9 ms.
const LONGEST_NS: u64 = 50 * MILLISECOND_NS;

/// Waits until channel 2 has counted so far: how far it has, and how long that took, at least and at most.
/// `None` if it takes too long. Intel 8254: mode 0; the gate is in port 0x61.
#[inline(never)]
fn wait_for_pit(wanted: u16) -> Option<(u16, u64, u64)> {
    // SAFETY: the channel is the speaker's, which stays off.
    let count = || unsafe {
        let before = time::clock_ns();
        io::out8(0x43, 0b1000_0000);
        let count = u16::from_le_bytes([io::in8(0x42), io::in8(0x42)]);
        (before, count, time::clock_ns())
    };
    irq::without(|| {
        // SAFETY: as above.
        unsafe {
            io::out8(0x61, io::in8(0x61) & !2 | 1);
            io::out8(0x43, 0b1011_0000);
            io::out8(0x42, 0xff);
            io::out8(0x42, 0xff);
        }
        let (start_before, first, start_after) = count();
        loop {
            let (before, now, after) = count();
            let most = after - start_before;
            if most > LONGEST_NS {
                return None;
            }
            let ticks = first.wrapping_sub(now);
            if ticks >= wanted {
                return Some((ticks, before - start_after, most));
            }
        }
    })
}

/// Sets an event, `ahead_ns` from now, and runs `then` with its deadline, all with interrupts off. If the host
/// was away until the deadline had passed, that event comes first and another is set. Gives how many had come
/// before the last, and what `then` gives.
fn with_event<T>(ahead_ns: u64, then: impl Fn(u64) -> T) -> Result<(u64, T), Text> {
    for _ in 0..10 {
        let before = trap::count(TIMER_VECTOR);
        let given = irq::without(|| {
            let deadline = time::clock_ns() + ahead_ns;
            match time::set_event(deadline) {
                EventStatus::SET => Ok(Some(then(deadline))),
                EventStatus::PASSED if time::clock_ns() >= deadline => Ok(None),
                status => Err(text!("{status:?} for a deadline {ahead_ns} ns ahead")),
            }
        })?;
        if let Some(given) = given {
            return Ok((before, given));
        }
        ensure!(
            wait_for(TIMER_VECTOR, before + 1),
            "an event that had passed did not come"
        );
    }
    Err(text!(
        "the host is away for more than {ahead_ns} ns each time"
    ))
}

/// An event comes once, and not before its time.
pub(super) fn event() -> Outcome {
    let (before, deadline) = with_event(20 * MILLISECOND_NS, |deadline| deadline)?;
    ensure!(wait_for(TIMER_VECTOR, before + 1), "the event did not come");
    let late = time::clock_ns() as i64 - deadline as i64;
    // The timer and the clock need not tick together; 0.1 percent is beyond any rounding.
    ensure!(late > -20_000, "the event came {} ns early", -late);
    let start = time::clock_ns();
    while time::clock_ns() - start < 2 * MILLISECOND_NS {}
    let came = trap::count(TIMER_VECTOR) - before;
    ensure!(came == 1, "the event came {came} times");
    Ok(text!("{late} ns after its deadline"))
}

/// A deadline in the past is reported and comes at once.
pub(super) fn passed() -> Outcome {
    let before = trap::count(TIMER_VECTOR);
    let status = time::set_event(time::clock_ns() - 1);
    ensure!(status == EventStatus::PASSED, "{status:?}");
    ensure!(wait_for(TIMER_VECTOR, before + 1), "the event did not come");
    Ok(text!("reported, and it came"))
}

/// An event that is cancelled does not come.
pub(super) fn cancel() -> Outcome {
    const AHEAD_NS: u64 = 50 * MILLISECOND_NS;
    for _ in 0..10 {
        let (before, in_time) = with_event(AHEAD_NS, |deadline| {
            time::cancel_event();
            time::clock_ns() + MILLISECOND_NS < deadline
        })?;
        let start = time::clock_ns();
        while time::clock_ns() - start < AHEAD_NS + 10 * MILLISECOND_NS {}
        let came = trap::count(TIMER_VECTOR) - before;
        // If the host was away, it may have come before it was cancelled.
        if in_time {
            ensure!(came == 0, "it came {came} times");
            return Ok(text!("it did not come"));
        }
    }
    Err(text!("the host is away for {AHEAD_NS} ns each time"))
}

/// A deadline that never comes, and so may come early, does not come at once.
pub(super) fn never() -> Outcome {
    /// The least that any timer can count.
    const RANGE_NS: u64 = 1_000_000_000;
    let before = trap::count(TIMER_VECTOR);
    let start = time::clock_ns();
    let status = time::set_event(u64::MAX);
    while time::clock_ns() - start < 20 * MILLISECOND_NS {}
    let came = trap::count(TIMER_VECTOR) - before;
    time::cancel_event();
    let waited_ns = time::clock_ns() - start;
    ensure!(status == EventStatus::SET, "it is {status:?}");
    ensure!(
        came == 0 || waited_ns > RANGE_NS,
        "it came {came} times in {waited_ns} ns"
    );
    Ok(text!("it did not come at once"))
}

/// A series of events: the tick of a kernel.
pub(super) fn ticks() -> Outcome {
    const TICKS: u64 = 20;
    /// A host may set its clock right meanwhile, and its timer go by another.
    const TOLERANCE_NS: u64 = TICKS * MILLISECOND_NS / 100;
    let before = trap::count(TIMER_VECTOR);
    let start = time::clock_ns();
    for tick in 1..=TICKS {
        // Passed or not, the event comes.
        let _ = time::set_event(start + tick * MILLISECOND_NS);
        ensure!(
            wait_for(TIMER_VECTOR, before + tick),
            "tick {tick} did not come"
        );
    }
    let took = time::clock_ns() - start;
    ensure!(
        took >= TICKS * MILLISECOND_NS - TOLERANCE_NS,
        "{TICKS} ticks took only {took} ns"
    );
    Ok(text!("{TICKS} ticks of 1 ms took {} us", took / 1000))
}

/// Stolen time does not go back, and is not more than all.
pub(super) fn stolen() -> Outcome {
    let cpu = Platform.cpu_index();
    let start = time::clock_ns();
    let first = time::stolen_ns(cpu);
    let mut last = first;
    for _ in 0..100 {
        system::yield_cpu();
        let now = time::stolen_ns(cpu);
        ensure!(now >= last, "it went back from {last} to {now}");
        last = now;
    }
    let (stolen, took) = (last - first, time::clock_ns() - start);
    ensure!(stolen <= took, "{stolen} of {took} ns");
    Ok(text!("{stolen} of {took} ns, {last} in all"))
}

/// That the host has stopped this CPU is said once.
pub(super) fn was_stopped() -> Outcome {
    let before = time::was_stopped();
    ensure!(!time::was_stopped(), "stopped, at two looks");
    Ok(text!("stopped before: {before}"))
}

/// When a CPU is readied again, as after a suspension, its time goes on and interrupts come.
pub(super) fn resumed() -> Outcome {
    let before = time::clock_ns();
    // SAFETY: interrupts are off, in no handler.
    let result = irq::without(|| unsafe { bring_up_cpu() });
    if let Err(error) = result {
        return Err(text!("{error}"));
    }
    let after = time::clock_ns();
    ensure!(
        after >= before && after - before < 10_000_000_000,
        "the time was {before} and is {after}"
    );
    let count = trap::count(SELF_VECTOR);
    send_self(SELF_VECTOR);
    ensure!(
        wait_for(SELF_VECTOR, count + 1),
        "an interrupt does not come"
    );
    Ok(text!("{} ns later the time goes on", after - before))
}

/// The time of day is one of our days, and goes as the clock goes.
pub(super) fn wall_clock() -> Outcome {
    const YEAR_2020_NS: u64 = 1_577_836_800_000_000_000;
    const YEAR_2100_NS: u64 = 4_102_444_800_000_000_000;
    const WAIT_NS: u64 = 40 * MILLISECOND_NS;
    const SLACK_NS: u64 = 20 * MILLISECOND_NS;
    let before = time::clock_ns();
    let first = time::wall_clock_ns();
    let start = time::clock_ns();
    while time::clock_ns() - start < WAIT_NS {}
    let between = time::clock_ns();
    let second = time::wall_clock_ns();
    // At most; at least it is the wait.
    let passed = time::clock_ns() - before;
    ensure!(
        (YEAR_2020_NS..YEAR_2100_NS).contains(&first),
        "it is {first} ns since 1970"
    );
    ensure!(second >= first, "it went back from {first} to {second}");
    let went = second - first;
    let is_whole = |time: u64| time.is_multiple_of(1_000_000_000);
    if is_whole(first) && is_whole(second) {
        // A clock of whole seconds.
        let most = passed / 1_000_000_000 + 1;
        ensure!(went <= most * 1_000_000_000, "{went} ns in {passed}");
    } else {
        // The host makes it anew from two clocks of its own, and may set either by a little.
        ensure!(
            went + SLACK_NS >= WAIT_NS && went <= passed + SLACK_NS,
            "{went} ns in {passed}"
        );
    }
    Ok(text!(
        "{first} ns since 1970, asked in {} us",
        (before + passed - between) / 1000
    ))
}

/// A CPU that halts is woken by the event; no wake-up is lost between enabling and halting.
pub(super) fn halt() -> Outcome {
    const ROUNDS: u64 = 20;
    let before = trap::count(TIMER_VECTOR);
    for round in 1..=ROUNDS {
        irq::disable();
        // Short deadlines are over before the CPU halts: the pending interrupt has to wake it.
        let _ = time::set_event(time::clock_ns() + round * 10_000);
        while trap::count(TIMER_VECTOR) < before + round {
            // SAFETY: interrupts have handlers. They are off again before the next look.
            unsafe { irq::safe_halt() };
            irq::disable();
        }
        // SAFETY: they were on before.
        unsafe { irq::enable() };
    }
    // With interrupts on: only an event ends the wait. One may come before the CPU halts, if the host is away;
    // its handler sets another.
    let waits = &per_cpu::this().waits;
    irq::without(|| {
        waits.store(true, Ordering::Relaxed);
        // Passed or not, the event comes.
        let _ = time::set_event(time::clock_ns() + 100 * MILLISECOND_NS);
    });
    irq::halt();
    let came = trap::count(TIMER_VECTOR) - before;
    irq::without(|| {
        waits.store(false, Ordering::Relaxed);
        time::cancel_event();
    });
    ensure!(
        came > ROUNDS,
        "halt ended with {came} events, {ROUNDS} of them before it"
    );
    Ok(text!("{came} wake-ups"))
}

/// An interrupt that is pending when the CPU enables interrupts and halts does not slip in between.
pub(super) fn pending_halt() -> Outcome {
    // If the host is away for long, the event comes too; not each time.
    for _ in 0..3 {
        // The event is what ends the wait if the pending interrupt does not.
        let (before, after) = with_event(2000 * MILLISECOND_NS, |_| {
            send_self(SELF_VECTOR);
            // SAFETY: interrupts have handlers.
            unsafe { irq::safe_halt() };
            let after = trap::count(TIMER_VECTOR);
            time::cancel_event();
            after
        })?;
        if after == before {
            return Ok(text!("awake without the event"));
        }
    }
    Err(text!("the CPU halted with an interrupt pending"))
}
