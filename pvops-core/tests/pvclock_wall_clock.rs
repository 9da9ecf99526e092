//! The time of day from the host.
#![cfg(not(loom))]

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use memoffset::span_of;
use pvops_core::pvclock::{
    BootTime, PlacementError, TornError, WallClock, WallClockError, WallClockPointer,
};

/// The offsets of `struct pvclock_wall_clock`, Linux asm/pvclock-abi.h.
#[test]
fn layout_is_the_abi() {
    assert_eq!(span_of!(WallClock, version), 0..4);
    assert_eq!(span_of!(WallClock, seconds), 4..8);
    assert_eq!(span_of!(WallClock, nanoseconds), 8..12);
    assert_eq!(size_of::<WallClock>(), 12);
}

fn read(version: u32, seconds: u32, nanoseconds: u32) -> Result<BootTime, WallClockError> {
    #[repr(align(16))]
    struct Record(WallClock);
    let record = Record(WallClock::zeroed());
    record.0.version.store(version, Relaxed);
    record.0.seconds.store(seconds, Relaxed);
    record.0.nanoseconds.store(nanoseconds, Relaxed);
    // SAFETY: the record outlives the pointer, and is made of atomics.
    unsafe { WallClockPointer::new(NonNull::from(&record.0)) }
        .unwrap()
        .read()
}

#[test]
fn wall_time_is_boot_time_plus_system_time() {
    let boot = read(2, 1_577_836_800, 250_000_000).unwrap();
    assert_eq!(boot.seconds(), 1_577_836_800);
    assert_eq!(boot.nanoseconds(), 250_000_000);
    assert_eq!(boot.as_unix_ns(), 1_577_836_800_250_000_000);
    assert_eq!(boot.wall_ns_at(800_000_000), 1_577_836_801_050_000_000);
}

#[test]
fn extremes_fit() {
    let latest = read(u32::MAX - 1, u32::MAX, 999_999_999).unwrap();
    assert_eq!(latest.as_unix_ns(), 4_294_967_295_999_999_999);
    assert_eq!(latest.wall_ns_at(u64::MAX), u64::MAX);
    assert_eq!(read(2, 0, 0).unwrap().as_unix_ns(), 0);
}

#[test]
fn bad_records_are_errors() {
    assert_eq!(read(0, 0, 0), Err(WallClockError::Unwritten));
    assert_eq!(read(1, 5, 5), Err(WallClockError::Torn(TornError)));
    assert_eq!(read(u32::MAX, 5, 5), Err(WallClockError::Torn(TornError)));
    for nanoseconds in [1_000_000_000, u32::MAX] {
        assert_eq!(
            read(2, 5, nanoseconds),
            Err(WallClockError::Nanoseconds(nanoseconds))
        );
    }
}

#[test]
fn a_record_must_be_aligned_and_in_one_page() {
    #[repr(align(4096))]
    struct Pages(#[expect(dead_code)] [u8; 8192]);
    let pages = NonNull::from(Box::leak(Box::new(Pages([0; 8192])))).cast::<u8>();
    for offset in 0..8192 - 12 {
        let expected = if offset % 4 != 0 {
            Some(PlacementError::Misaligned)
        } else if offset / 4096 != (offset + 11) / 4096 {
            Some(PlacementError::CrossesPage)
        } else {
            None
        };
        // SAFETY: the record ends within the pages, which are never freed and
        // not accessed otherwise.
        let record = unsafe { pages.add(offset) }.cast();
        // SAFETY: as above.
        let placed = unsafe { WallClockPointer::new(record) };
        assert_eq!(placed.err(), expected, "offset {offset}");
    }
}
