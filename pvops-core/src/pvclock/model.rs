//! Every interleaving, and every stale value, of the clock's shared memory.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p pvops-core --release --lib model`

// The host of the tests outside of the library, which have no part in this: loom is no dependency of
// the library's.
#[path = "../../tests/pvclock_host/mod.rs"]
mod pvclock_host;

use std::println;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use pvclock_host::{Host, State};

use super::{Flags, MonotonicClock, ReadError};

const OLD: State = State {
    tsc_timestamp: 1,
    system_time_ns: 10,
    multiplier: 100,
    shift: -1,
    flags: 0,
};
const NEW: State = State {
    tsc_timestamp: 2,
    system_time_ns: 20,
    multiplier: 200,
    shift: 1,
    flags: 1,
};

/// A copy is the old state, the new one, or an error, never a mixture. Fails if
/// either fence is removed or an odd version accepted.
#[test]
fn no_copy_mixes_two_states() {
    /// How often the reader got the old state, the new one, none.
    static OUTCOMES: Mutex<[u64; 3]> = Mutex::new([0; 3]);

    loom::model(|| {
        let host = Host::with(OLD);
        let record = host.pointer();
        let writer = thread::spawn(move || host.write(NEW));
        let outcome = match record.parameters() {
            Ok(copy) => {
                let state = State {
                    tsc_timestamp: copy.tsc_timestamp,
                    system_time_ns: copy.system_time_ns,
                    multiplier: copy.scale.multiplier(),
                    shift: copy.scale.shift(),
                    flags: copy.flags.bits(),
                };
                assert!(state == OLD || state == NEW, "mixture: {state:?}");
                usize::from(state == NEW)
            }
            Err(ReadError::Torn(_)) => 2,
            Err(error) => panic!("{error}"),
        };
        writer.join().unwrap();
        OUTCOMES.lock().unwrap()[outcome] += 1;
    });

    let outcomes = OUTCOMES.lock().unwrap();
    println!("old, new, torn: {outcomes:?}");
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");
}

/// Of two callers one takes the mark, and a bit that is set meanwhile stays.
#[test]
fn guest_stopped_is_taken_once() {
    const UNKNOWN: u8 = 1 << 7;
    loom::model(|| {
        let host = Host::with(OLD.with_flags(Flags::GUEST_STOPPED.bits()));
        let record = host.pointer();
        let other = thread::spawn(move || record.take_guest_stopped());
        let setter = thread::spawn(move || {
            host.record.flags.fetch_or(UNKNOWN, Ordering::Relaxed);
        });
        let taken = record.take_guest_stopped();
        assert_ne!(other.join().unwrap(), taken);
        setter.join().unwrap();
        assert_eq!(host.record.flags.load(Ordering::Relaxed), UNKNOWN);
    });
}

/// A reading that starts after another has returned is not below it, for each
/// pair of kinds of reading.
#[test]
fn no_cpu_sees_an_earlier_time_than_another_saw() {
    const LEASE_NS: u64 = MonotonicClock::LEASE_NS;
    let kinds: [fn() -> Host; 4] = [
        // Under the first lease, which starts at 1,
        || stable(5),
        // and past it, so that it is renewed.
        || stable(2 * LEASE_NS),
        || Host::with(State::at(3)),
        // Failing.
        || {
            let host = Host::with(State::at(0));
            host.begin();
            host
        },
    ];
    for first in kinds {
        for second in kinds {
            loom::model(move || {
                let clock = Arc::new(MonotonicClock::new());
                clock.set_valid_flags(Flags::TSC_STABLE);
                clock.now_ns(stable(1).pointer(), || 0);
                let seen = Arc::new(AtomicU64::new(0));

                let other = {
                    let (clock, seen) = (Arc::clone(&clock), Arc::clone(&seen));
                    thread::spawn(move || {
                        let now = clock.now_ns(first().pointer(), || 0);
                        seen.store(now, Ordering::Release);
                    })
                };
                // The first reading may take away what the other publishes.
                let record = second().pointer();
                clock.now_ns(record, || 0);
                let seen_before = seen.load(Ordering::Acquire);
                let now = clock.now_ns(record, || 0);
                assert!(now >= seen_before, "{seen_before}, then {now}");
                other.join().unwrap();
            });
        }
    }
}

fn stable(ns: u64) -> Host {
    Host::with(State::at(ns).with_flags(Flags::TSC_STABLE.bits()))
}
