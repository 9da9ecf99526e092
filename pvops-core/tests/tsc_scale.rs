//! Scale arithmetic against 128-bit reference arithmetic, over its whole range.

use proptest::prelude::*;
use pvops_core::tsc_scale::{ScaleError, TscScale};

/// A value of any magnitude: uniform in the number of bits, not in the value.
fn any_magnitude() -> impl Strategy<Value = u64> {
    prop_oneof![
        (any::<u64>(), 0u32..64).prop_map(|(value, drop)| value >> drop),
        Just(0),
        Just(u64::MAX),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u32..64).prop_map(|bit| (1 << bit) - 1),
    ]
}

fn any_scale() -> impl Strategy<Value = TscScale> {
    let multiplier = prop_oneof![
        (any::<u32>(), 0u32..32).prop_map(|(value, drop)| (value >> drop).max(1)),
        Just(1),
        Just(u32::MAX),
        (0u32..32).prop_map(|bit| 1 << bit),
    ];
    (multiplier, -31i8..=31)
        .prop_map(|(multiplier, shift)| TscScale::new(multiplier, shift).unwrap())
}

/// The definition, in integers wide enough for it: 64 + 31 + 32 bits.
fn reference_ns(scale: TscScale, ticks: u64) -> u128 {
    let ticks = u128::from(ticks);
    let shifted = if scale.shift() < 0 {
        ticks >> scale.shift().unsigned_abs()
    } else {
        ticks << scale.shift()
    };
    (shifted * u128::from(scale.multiplier())) >> 32
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn ticks_to_ns_is_the_definition(scale in any_scale(), ticks in any_magnitude()) {
        prop_assert_eq!(scale.ticks_to_ns(ticks), saturate(reference_ns(scale, ticks)));
    }

    #[test]
    fn more_ticks_never_give_fewer_ns(
        scale in any_scale(),
        ticks in any_magnitude(),
        more in any_magnitude(),
    ) {
        let later = ticks.saturating_add(more);
        prop_assert!(scale.ticks_to_ns(ticks) <= scale.ticks_to_ns(later));
    }

    #[test]
    fn ns_to_ticks_is_the_fewest_ticks(scale in any_scale(), ns in any_magnitude()) {
        let ticks = scale.ns_to_ticks(ns);
        let wanted = u128::from(ns);
        if ticks != u64::MAX {
            prop_assert!(reference_ns(scale, ticks) >= wanted);
        }
        if ticks > 0 {
            prop_assert!(reference_ns(scale, ticks - 1) < wanted);
        }
    }

    #[test]
    fn khz_is_the_nearest(scale in any_scale()) {
        let numerator = 1_000_000u128 << (32 - i32::from(scale.shift()));
        let multiplier = u128::from(scale.multiplier());
        let khz = u128::from(scale.tsc_khz());
        if khz == u128::from(u64::MAX) {
            prop_assert!((2 * numerator) / multiplier >= 2 * khz - 1);
        } else {
            // |khz - numerator / multiplier| <= 1 / 2
            prop_assert!((khz * multiplier).abs_diff(numerator) * 2 <= multiplier);
        }
    }

    /// From 1 MHz to 20 GHz the rate survives exactly, and an hour of ticks is
    /// an hour: within 2^-32 of it, and 2 ns for the two roundings down.
    #[test]
    fn real_rates_round_trip(khz in 1_000u64..=20_000_000) {
        let scale = TscScale::from_tsc_khz(khz).unwrap();
        prop_assert!(scale.multiplier() >= 1 << 31);
        prop_assert_eq!(scale.tsc_khz(), khz);

        let hour_ns = 3_600_000_000_000u64;
        let hour_ticks = khz * 3_600_000;
        let error_ns = scale.ticks_to_ns(hour_ticks).abs_diff(hour_ns);
        prop_assert!(error_ns <= (hour_ns >> 32) + 2, "off by {} ns in an hour", error_ns);
    }

    #[test]
    fn every_rate_is_a_scale_or_none(khz in any_magnitude()) {
        match TscScale::from_tsc_khz(khz) {
            Some(scale) => {
                prop_assert_eq!(TscScale::new(scale.multiplier(), scale.shift()), Ok(scale));
                if khz < 1 << 31 {
                    prop_assert_eq!(scale.tsc_khz(), khz);
                }
            }
            None => prop_assert!(khz == 0 || khz > 4_000_000_000_000_000),
        }
    }
}

#[test]
fn hostile_scales_are_refused() {
    for shift in i8::MIN..=i8::MAX {
        assert_eq!(TscScale::new(0, shift), Err(ScaleError::ZeroMultiplier));
        let expected = (-31..=31).contains(&shift);
        assert_eq!(TscScale::new(1, shift).is_ok(), expected, "shift {shift}");
        assert_eq!(
            TscScale::new(u32::MAX, shift).is_ok(),
            expected,
            "shift {shift}"
        );
    }
}

/// What KVM writes for these rates: `kvm_get_time_scale` keeps the scaled rate
/// in (1 GHz, 2 GHz] and truncates the quotient, so only the last bit differs.
#[test]
fn scales_agree_with_those_of_kvm() {
    for (khz, multiplier, shift) in [
        (1_000_000, 1 << 31, 1),
        (1_500_000, 2_863_311_530, 0),
        (2_000_000, 1 << 31, 0),
        (3_000_000, 2_863_311_530, -1),
        (2_399_998, 3_579_142_395, -1),
    ] {
        let scale = TscScale::from_tsc_khz(khz).unwrap();
        assert_eq!(scale.shift(), shift, "{khz} kHz");
        let difference = scale.multiplier().abs_diff(multiplier);
        assert!(difference <= 1, "{khz} kHz: {}", scale.multiplier());
    }
}

#[test]
fn extremes_saturate() {
    let fastest_time = TscScale::new(u32::MAX, 31).unwrap();
    assert_eq!(fastest_time.ticks_to_ns(u64::MAX), u64::MAX);
    assert_eq!(fastest_time.tsc_khz(), 0);

    let slowest_time = TscScale::new(1, -31).unwrap();
    assert_eq!(slowest_time.ticks_to_ns(u64::MAX), 1);
    assert_eq!(slowest_time.ns_to_ticks(1), 1 << 63);
    assert_eq!(slowest_time.ns_to_ticks(2), u64::MAX);
    assert_eq!(slowest_time.tsc_khz(), u64::MAX);
}

#[test]
fn usable_in_constants() {
    const SCALE: TscScale = TscScale::from_tsc_khz(2_000_000).unwrap();
    const NS: u64 = SCALE.ticks_to_ns(4_000);
    const TICKS: u64 = SCALE.ns_to_ticks(NS);
    assert_eq!((NS, TICKS), (2_000, 4_000));
}
