//! Real threads against the version protocol and the clock.
#![cfg(not(loom))]

mod pvclock_host;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use pvclock_host::{Host, State};
use pvops_core::pvclock::{Flags, MonotonicClock, ReadError};

/// A state of which every field tells its number.
fn numbered(number: u64) -> State {
    State {
        tsc_timestamp: number,
        system_time_ns: number << 32 | number & 0xffff_ffff,
        multiplier: number as u32 | 1 << 31,
        shift: (number % 63) as i8 - 31,
        flags: number as u8,
    }
}

#[test]
fn no_copy_mixes_two_states() {
    const COPIES: u64 = if cfg!(miri) { 300 } else { 300_000 };
    let host = Host::with(numbered(1));
    let done = AtomicBool::new(false);
    let (mut copies, mut torn, mut latest) = (0u64, 0u64, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                host.write(numbered(number));
            }
        });
        // Ends in any case: a writer that is stopped in mid-update goes on.
        while copies < COPIES {
            match host.pointer().parameters() {
                Ok(copy) => {
                    let expected = numbered(copy.tsc_timestamp);
                    let actual = State {
                        tsc_timestamp: copy.tsc_timestamp,
                        system_time_ns: copy.system_time_ns,
                        multiplier: copy.scale.multiplier(),
                        shift: copy.scale.shift(),
                        flags: copy.flags.bits(),
                    };
                    if actual != expected || copy.tsc_timestamp < latest {
                        done.store(true, Ordering::Relaxed);
                        panic!("after state {latest}: {actual:?}");
                    }
                    latest = copy.tsc_timestamp;
                    copies += 1;
                }
                Err(ReadError::Torn(_)) => torn += 1,
                Err(error) => {
                    done.store(true, Ordering::Relaxed);
                    panic!("{error}");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(latest > 1, "the writer never wrote");
    println!("{copies} copies, {torn} torn, state {latest}");
}

/// CPUs that disagree, some of them with failing readings, publish the time
/// they saw to each other; none may then see an earlier one.
#[test]
fn no_cpu_sees_an_earlier_time_than_another_saw() {
    const READINGS: u64 = if cfg!(miri) { 640 } else { 200_000 };
    let clock = MonotonicClock::new();
    clock.set_valid_flags(Flags::TSC_STABLE);
    let ticks = AtomicU64::new(0);
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        for cpu in 0..3u64 {
            let (clock, ticks, seen) = (&clock, &ticks, &seen);
            scope.spawn(move || {
                let stable = Host::with(State::at(5_000).with_flags(Flags::TSC_STABLE.bits()));
                let skewed = Host::with(State::at(cpu * 2_000));
                let broken = Host::with(State::at(0));
                broken.begin();
                for turn in 0..READINGS {
                    let host = match turn % 64 {
                        20 => skewed,
                        40 => broken,
                        _ => stable,
                    };
                    let before = seen.load(Ordering::Acquire);
                    let now =
                        clock.now_ns(host.pointer(), || ticks.fetch_add(97, Ordering::SeqCst));
                    assert!(now >= before, "CPU {cpu} went back from {before} to {now}");
                    seen.fetch_max(now, Ordering::AcqRel);
                }
            });
        }
    });
    assert_eq!(u64::from(clock.failed_readings()), 3 * READINGS / 64);
    let furthest = 5_000 + ticks.load(Ordering::SeqCst);
    let lead = seen.into_inner().saturating_sub(furthest);
    assert!(lead <= MonotonicClock::LEASE_NS, "{lead} ns ahead");
}
