//! The method against a counter whose every tick is known.

use std::cell::Cell;

use pvops_benches::{Figure, Method};

#[test]
fn rounds_double_until_the_goal_is_met_and_the_loop_is_subtracted() {
    // Reading costs 3 ticks, so the empty loop does.
    let ticks = Cell::new(0);
    let method = Method {
        counter: || ticks.replace(ticks.get() + 3),
        goal_ticks: 100,
    };
    let figure = method.measure(|_| ticks.set(ticks.get() + 10));
    // 8 rounds are 83 ticks, 16 are 163.
    let expected = Figure {
        rounds: 16,
        min: 160,
        median: 160,
        p99: 160,
        n: 101,
        overhead: 3,
    };
    assert_eq!(figure, expected);
}

#[test]
fn a_disturbed_sample_is_told_from_the_others() {
    let (ticks, rounds) = (Cell::new(0), Cell::new(0));
    let method = Method {
        counter: || ticks.get(),
        goal_ticks: 1,
    };
    // One round is enough. The two samples after the 60th are dear.
    let figure = method.measure(|_| {
        rounds.set(rounds.get() + 1);
        let dear = (61..=62).contains(&rounds.get());
        ticks.set(ticks.get() + if dear { 1_000 } else { 1 });
    });
    assert_eq!(rounds.get(), 101);
    assert_eq!((figure.min, figure.median, figure.p99), (1, 1, 1_000));
}

#[test]
fn work_that_costs_nothing_costs_nothing() {
    let ticks = Cell::new(0);
    let method = Method {
        counter: || ticks.replace(ticks.get() + 2),
        goal_ticks: 1,
    };
    let figure = method.measure(|_| ());
    assert_eq!((figure.rounds, figure.p99, figure.overhead), (1, 0, 2));
}

#[test]
fn percentiles_are_samples() {
    let mut ten: [u64; 10] = std::array::from_fn(|index| 10 - index as u64);
    let figure = Figure::of(5, 2, &mut ten);
    let found = (figure.min, figure.median, figure.p99, figure.n);
    assert_eq!(found, (1, 5, 10, 10));
    let mut two_hundred: [u64; 200] = std::array::from_fn(|index| index as u64 + 1);
    assert_eq!(Figure::of(1, 0, &mut two_hundred).p99, 198);
    assert_eq!(Figure::of(1, 0, &mut [7]).median, 7);
}
