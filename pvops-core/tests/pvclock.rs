//! Reading one CPU's clock record, from honest hosts and others.
#![cfg(not(loom))]

mod pvclock_host;

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use memoffset::span_of;
use proptest::prelude::*;
use pvclock_host::{Host, State};
use pvops_core::pvclock::{
    Flags, MAX_ATTEMPTS, Parameters, PlacementError, ReadError, TimeInfo, TimeInfoPointer,
    TornError,
};
use pvops_core::tsc_scale::{ScaleError, TscScale};

/// The offsets of `struct pvclock_vcpu_time_info`, Linux asm/pvclock-abi.h.
#[test]
fn layout_is_the_abi() {
    assert_eq!(span_of!(TimeInfo, version), 0..4);
    assert_eq!(span_of!(TimeInfo, reserved_4), 4..8);
    assert_eq!(span_of!(TimeInfo, tsc_timestamp), 8..16);
    assert_eq!(span_of!(TimeInfo, system_time_ns), 16..24);
    assert_eq!(span_of!(TimeInfo, tsc_to_system_multiplier), 24..28);
    assert_eq!(span_of!(TimeInfo, tsc_shift), 28..29);
    assert_eq!(span_of!(TimeInfo, flags), 29..30);
    assert_eq!(span_of!(TimeInfo, reserved_30), 30..32);
    assert_eq!(size_of::<TimeInfo>(), 32);
}

#[test]
fn reads_the_time() {
    let host = Host::with(State {
        tsc_timestamp: 1_000,
        system_time_ns: 5_000_000,
        multiplier: 2_863_311_531,
        shift: -1,
        flags: 0b1010_0101,
    });
    let reading = host.pointer().read(|| 3_001_000).unwrap();
    assert_eq!(reading.ns, 6_000_000);
    assert_eq!(reading.tsc, 3_001_000);
    assert_eq!(reading.flags.bits(), 0b1010_0101, "unknown flags are kept");
    assert!(reading.flags.contains(Flags::TSC_STABLE));
    assert!(!reading.flags.contains(Flags::GUEST_STOPPED));
}

#[test]
fn a_tsc_behind_the_record_counts_as_equal() {
    let host = Host::with(State {
        tsc_timestamp: 10_000,
        ..State::at(77)
    });
    assert_eq!(host.pointer().read(|| 9_999).unwrap().ns, 77);
    assert_eq!(host.pointer().read(|| 0).unwrap().ns, 77);
    assert_eq!(host.pointer().read(|| 10_001).unwrap().ns, 78);
}

/// As Xen told a PVH guest that began between two of its looks at the clocks.
#[test]
fn a_record_may_be_of_before_the_tsc_was_zero() {
    let parameters = Parameters {
        tsc_timestamp: 1_000u64.wrapping_neg(),
        system_time_ns: 77,
        scale: TscScale::from_tsc_khz(1_000_000).unwrap(),
        flags: Flags::empty(),
    };
    assert_eq!(parameters.ns_at(0), 1_077);
    assert_eq!(parameters.ns_at(500), 1_577);
    assert_eq!(parameters.tsc_at(1_577), 500);
    assert_eq!(parameters.tsc_at(1_000), 0);
    assert_eq!(parameters.tsc_at(0), 0);
}

#[test]
fn a_clock_may_start_below_zero() {
    let host = Host::with(State::at(5u64.wrapping_neg()));
    assert_eq!(host.pointer().read(|| 7).unwrap().ns, 2);
}

#[test]
fn an_odd_version_is_never_accepted() {
    let host = Host::with(State::at(0));
    host.begin();
    let mut tsc_reads = 0;
    let result = host.pointer().read(|| {
        tsc_reads += 1;
        0
    });
    assert_eq!(result, Err(ReadError::Torn(TornError)));
    assert_eq!(tsc_reads, 0, "no time may be taken from an odd version");
    assert!(host.pointer().parameters().is_err());

    host.end();
    assert!(host.pointer().read(|| 0).is_ok());
}

#[test]
fn a_host_that_never_stops_updating_ends_in_an_error() {
    let host = Host::with(State::at(0));
    let mut looks = 0;
    let result = host.pointer().read(|| {
        looks += 1;
        host.write(State::at(looks));
        0
    });
    assert_eq!(result, Err(ReadError::Torn(TornError)));
    assert_eq!(looks, u64::from(MAX_ATTEMPTS));
}

#[test]
fn an_update_during_the_read_is_read_again() {
    let host = Host::with(State::at(1_000));
    let mut looks = 0;
    let reading = host.pointer().read(|| {
        looks += 1;
        if looks == 1 {
            host.write(State::at(2_000));
        }
        looks
    });
    assert_eq!(reading.unwrap().ns, 2_002, "new parameters with a new TSC");
    assert_eq!(looks, 2);
}

#[test]
fn the_version_wraps() {
    let host = Host::with(State::at(1));
    host.set_version(u32::MAX - 1);
    assert_eq!(host.pointer().read(|| 0).unwrap().ns, 1);
    host.begin();
    assert!(host.pointer().read(|| 0).is_err());
    host.write_fields(State::at(2));
    host.end();
    assert_eq!(host.record.version.load(Relaxed), 0);
    assert_eq!(host.pointer().read(|| 0).unwrap().ns, 2);
}

#[test]
fn a_bad_scale_is_an_error() {
    let scale_of = |multiplier, shift| {
        let host = Host::with(State {
            multiplier,
            shift,
            ..State::default()
        });
        let latest = i64::MAX as u64;
        host.pointer().read(|| latest).map(|reading| reading.ns)
    };
    let zero = Err(ReadError::Scale(ScaleError::ZeroMultiplier));
    let range = Err(ReadError::Scale(ScaleError::ShiftOutOfRange));
    assert_eq!(scale_of(0, 0), zero);
    assert_eq!(scale_of(1, 32), range);
    assert_eq!(scale_of(1, -32), range);
    assert_eq!(scale_of(1, i8::MIN), range);
    assert_eq!(scale_of(2, -31), Ok(1));
    assert_eq!(scale_of(u32::MAX, 31), Ok(u64::MAX));

    let unwritten = Host::new().pointer();
    assert_eq!(unwritten.read(|| 0).map(|reading| reading.ns), zero);
}

#[test]
fn a_record_must_be_aligned_and_in_one_page() {
    #[repr(align(4096))]
    struct Pages(#[expect(dead_code)] [u8; 8192]);
    let pages = NonNull::from(Box::leak(Box::new(Pages([0; 8192])))).cast::<u8>();
    let place = |offset| {
        // SAFETY: the record ends within the pages, which are never freed and
        // not accessed otherwise.
        let record = unsafe { pages.add(offset) }.cast();
        // SAFETY: as above.
        unsafe { TimeInfoPointer::new(record) }.map(|pointer| pointer.as_ptr().cast::<u8>())
    };
    for offset in 0..8192 - 32 {
        let expected = if offset % 8 != 0 {
            Err(PlacementError::Misaligned)
        } else if offset / 4096 != (offset + 31) / 4096 {
            Err(PlacementError::CrossesPage)
        } else {
            // SAFETY: as above.
            Ok(unsafe { pages.add(offset) })
        };
        assert_eq!(place(offset), expected, "offset {offset}");
    }
}

#[test]
fn guest_stopped_is_taken_once_and_alone() {
    let host = Host::with(State::at(0).with_flags(0b1111_1101));
    let record = host.pointer();
    assert!(!record.take_guest_stopped());
    assert_eq!(host.record.flags.load(Relaxed), 0b1111_1101);

    for _ in 0..2 {
        host.record.flags.store(0xff, Relaxed);
        assert!(record.take_guest_stopped());
        assert!(!record.take_guest_stopped());
        assert_eq!(
            host.record.flags.load(Relaxed),
            0b1111_1101,
            "only that bit"
        );
    }
}

proptest! {
    /// The deadline is the first TSC value at which the time has come.
    #[test]
    fn deadlines_are_met(
        tsc_timestamp in 0..u64::MAX / 2,
        system_time_ns in 0..u64::MAX / 4,
        khz in 1_000u64..20_000_000,
        ahead in 0..1u64 << 50,
    ) {
        let parameters = Parameters {
            tsc_timestamp,
            system_time_ns,
            scale: TscScale::from_tsc_khz(khz).unwrap(),
            flags: Flags::empty(),
        };
        let deadline = system_time_ns + ahead;
        let tsc = parameters.tsc_at(deadline);
        prop_assert!(parameters.ns_at(tsc) >= deadline);
        prop_assert!(tsc == tsc_timestamp || parameters.ns_at(tsc - 1) < deadline);

        let past = system_time_ns.saturating_sub(ahead);
        prop_assert_eq!(parameters.tsc_at(past), tsc_timestamp);
    }

    /// Whatever the bytes are, a read ends, in a time or an error.
    #[test]
    fn any_content_is_a_time_or_an_error(
        version in any::<u32>(),
        tsc_timestamp in any::<u64>(),
        system_time_ns in any::<u64>(),
        multiplier in any::<u32>(),
        shift in any::<i8>(),
        flags in any::<u8>(),
        tsc in any::<u64>(),
    ) {
        let host = Host::new();
        host.set_version(version);
        host.write_fields(State { tsc_timestamp, system_time_ns, multiplier, shift, flags });
        let valid = version % 2 == 0 && multiplier != 0 && (-31..=31).contains(&shift);
        prop_assert_eq!(host.pointer().read(|| tsc).is_ok(), valid);
        if let Ok(parameters) = host.pointer().parameters() {
            parameters.tsc_at(tsc);
        }
    }
}
