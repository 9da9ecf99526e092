//! One clock for all CPUs, which never goes back.
#![cfg(not(loom))]

mod pvclock_host;

use proptest::prelude::*;
use pvclock_host::{Host, State};
use pvops_core::pvclock::{Flags, MonotonicClock};

const LEASE_NS: u64 = MonotonicClock::LEASE_NS;
const STABLE: u8 = Flags::TSC_STABLE.bits();

fn trusting_clock() -> MonotonicClock {
    let clock = MonotonicClock::new();
    clock.set_valid_flags(Flags::TSC_STABLE);
    clock
}

/// Reads the clock on a CPU whose record says `state`.
fn now(clock: &MonotonicClock, state: State) -> u64 {
    clock.now_ns(Host::with(state).pointer(), || 0)
}

fn now_torn(clock: &MonotonicClock) -> u64 {
    let host = Host::with(State::at(0));
    host.begin();
    clock.now_ns(host.pointer(), || 0)
}

#[test]
fn may_be_a_static() {
    static CLOCK: MonotonicClock = MonotonicClock::new();
    assert_eq!(now(&CLOCK, State::at(9)), 9);
}

#[test]
fn unstable_readings_do_not_go_back_across_cpus() {
    let clock = MonotonicClock::new();
    let ahead = Host::with(State::at(1_000));
    let behind = Host::with(State::at(400));
    assert_eq!(clock.now_ns(ahead.pointer(), || 0), 1_000);
    assert_eq!(clock.now_ns(behind.pointer(), || 0), 1_000);
    assert_eq!(clock.now_ns(behind.pointer(), || 599), 1_000);
    assert_eq!(clock.now_ns(behind.pointer(), || 601), 1_001);
    assert_eq!(clock.now_ns(ahead.pointer(), || 0), 1_001);
    assert_eq!(clock.failed_readings(), 0);
}

#[test]
fn the_stable_flag_counts_only_when_valid() {
    let clock = MonotonicClock::new();
    for (ns, expected) in [(500, 500), (1_000, 1_000), (900, 1_000)] {
        assert_eq!(now(&clock, State::at(ns).with_flags(STABLE)), expected);
    }

    let (high, low) = (State::at(1_000), State::at(900));
    let clock = trusting_clock();
    assert_eq!(now(&clock, high), 1_000);
    assert_eq!(now(&clock, low), 1_000);
    // The floor stays a floor for a host that is trusted later.
    assert_eq!(now(&clock, low.with_flags(STABLE)), 1_000);
}

/// The stable path publishes nothing: a reading of another CPU that started
/// earlier is its own, not the greatest so far.
#[test]
fn stable_readings_are_not_published() {
    let clock = trusting_clock();
    now(&clock, State::at(10_000).with_flags(STABLE));
    for ns in [10_500, 10_400, 10_450, 10_000, 10_000 + LEASE_NS - 1] {
        assert_eq!(now(&clock, State::at(ns).with_flags(STABLE)), ns);
    }
    // But there is a floor under them,
    assert_eq!(now(&clock, State::at(9_999).with_flags(STABLE)), 10_000);
    // and it moves with the first reading past the window.
    let past = 10_000 + LEASE_NS;
    assert_eq!(now(&clock, State::at(past).with_flags(STABLE)), past);
    assert_eq!(now(&clock, State::at(past - 1).with_flags(STABLE)), past);
}

#[test]
fn a_torn_read_stands_still() {
    let clock = MonotonicClock::new();
    assert_eq!(now_torn(&clock), 0);
    now(&clock, State::at(5_000));
    assert_eq!(now_torn(&clock), 5_000);
    assert_eq!(now_torn(&clock), 5_000);
    assert_eq!(clock.failed_readings(), 3);
    assert_eq!(now(&clock, State::at(5_001)), 5_001);
}

#[test]
fn a_torn_read_among_stable_ones_does_not_go_back() {
    let clock = trusting_clock();
    now(&clock, State::at(1_000).with_flags(STABLE));
    let last = 1_000 + LEASE_NS - 1;
    assert_eq!(now(&clock, State::at(last).with_flags(STABLE)), last);

    // Time stands still at the end of the lease, however many reads fail,
    let torn = now_torn(&clock);
    assert_eq!(torn, 1_000 + LEASE_NS);
    for _ in 0..10 {
        assert_eq!(now_torn(&clock), torn);
    }
    // until the host's time has come there.
    assert_eq!(now(&clock, State::at(last).with_flags(STABLE)), torn);
    assert_eq!(now_torn(&clock), torn);
    assert_eq!(
        now(&clock, State::at(torn + 1).with_flags(STABLE)),
        torn + 1
    );
    assert_eq!(clock.failed_readings(), 12);
}

#[test]
fn losing_stability_does_not_go_back() {
    let clock = trusting_clock();
    now(&clock, State::at(1_000).with_flags(STABLE));
    now(&clock, State::at(70_000).with_flags(STABLE));
    assert!(now(&clock, State::at(69_000)) >= 70_000);
}

#[test]
fn absurd_times_do_not_stick() {
    let clock = trusting_clock();
    now(&clock, State::at(1_000).with_flags(STABLE));
    let floor = now_torn(&clock);
    for ns in [1 << 62, 1 << 63, u64::MAX, 5u64.wrapping_neg()] {
        assert_eq!(now(&clock, State::at(ns)), floor);
        assert_eq!(now(&clock, State::at(ns).with_flags(STABLE)), floor);
    }
    assert_eq!(clock.failed_readings(), 9);
    // The greatest time that is taken leaves room for a lease.
    let greatest = (1 << 62) - 1;
    assert_eq!(
        now(&clock, State::at(greatest).with_flags(STABLE)),
        greatest
    );
    assert_eq!(now_torn(&clock), greatest + LEASE_NS);
    assert_eq!(now_torn(&clock), greatest + LEASE_NS);
}

#[test]
fn an_unwritten_record_is_counted() {
    let clock = MonotonicClock::new();
    assert_eq!(clock.now_ns(Host::new().pointer(), || 0), 0);
    assert_eq!(clock.failed_readings(), 1);
}

#[test]
fn a_rate_that_makes_no_sense_stands_still() {
    let clock = MonotonicClock::new();
    assert_eq!(now(&clock, State::at(500)), 500);
    let later = State::at(1_000);
    for (multiplier, shift) in [
        (0, 0),
        (0, 31),
        (1, 32),
        (1, i8::MAX),
        (1, -32),
        (1, i8::MIN),
    ] {
        let state = State {
            multiplier,
            shift,
            ..later
        };
        assert_eq!(now(&clock, state), 500, "{multiplier} {shift}");
    }
    assert_eq!(clock.failed_readings(), 6);
    assert_eq!(now(&clock, later), 1_000);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// True time goes on by this many ns.
    Pass(u64),
    Stable,
    /// A CPU whose clock differs from true time by this.
    Unstable(i64),
    Torn,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..LEASE_NS / 2).prop_map(Event::Pass),
        1 => (0..LEASE_NS * 3).prop_map(Event::Pass),
        4 => Just(Event::Stable),
        2 => (-5_000i64..5_000).prop_map(Event::Unstable),
        1 => Just(Event::Torn),
    ]
}

proptest! {
    /// In any order of events, time does not go back, and is at most a lease
    /// ahead of the furthest reading.
    #[test]
    fn never_back_and_never_far_ahead(events in prop::collection::vec(any_event(), 1..60)) {
        let clock = trusting_clock();
        let mut true_ns = 100_000u64;
        let (mut last, mut furthest) = (0, 0);
        for event in events {
            let ns = match event {
                Event::Pass(ns) => {
                    true_ns += ns;
                    continue;
                }
                Event::Stable => {
                    furthest = furthest.max(true_ns);
                    now(&clock, State::at(true_ns).with_flags(STABLE))
                }
                Event::Unstable(skew) => {
                    let ns = true_ns.saturating_add_signed(skew);
                    furthest = furthest.max(ns);
                    now(&clock, State::at(ns))
                }
                Event::Torn => now_torn(&clock),
            };
            prop_assert!(ns >= last, "{event:?} went back from {last} to {ns}");
            prop_assert!(ns <= furthest + LEASE_NS);
            last = ns;
        }
    }
}
