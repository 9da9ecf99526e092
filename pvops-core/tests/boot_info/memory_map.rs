//! Memory maps against a model that looks at one address at a time.

use proptest::collection::vec;
use proptest::prelude::*;
use pvops_core::boot_info::{BootInfo, MemoryMap, RegionKind};

use super::support::*;

type Entry = (u64, u64, u32);

fn map_of(entries: &[Entry]) -> MemoryMap {
    let mut map = MemoryMap::new();
    for &(start, length, kind) in entries {
        map.insert(start, length, RegionKind(kind));
    }
    map
}

/// The kind of one address: of all entries that cover it, the most restrictive.
fn model(entries: &[Entry], address: u64) -> Option<u32> {
    let end = |start: u64, length: u64| u128::from(start) + u128::from(length);
    let covers = |&&(start, length, kind): &&Entry| {
        let wraps = end(start, length) > u64::MAX.into();
        let ignored = wraps && kind == RAM;
        !ignored && start <= address && u128::from(address) < end(start, length)
    };
    let rank = |kind| match kind {
        1 => 0,
        3 => 1,
        4 => 2,
        5 => u64::MAX,
        other => 3 + u64::from(other),
    };
    let kinds = entries.iter().filter(covers).map(|entry| entry.2);
    kinds.max_by_key(|&kind| rank(kind))
}

fn kind_at(map: &MemoryMap, address: u64) -> Option<u32> {
    let holds = |r: &&pvops_core::boot_info::Region| (r.start..r.end).contains(&address);
    map.regions().iter().find(holds).map(|r| r.kind.0)
}

/// All known kinds, and some unknown.
fn kind() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(RAM), 2 => 0..9u32, 1 => Just(u32::MAX)]
}

proptest! {
    #[test]
    fn small_maps_equal_the_model(
        entries in vec((0..200u64, 0..60u64, kind()), 0..24),
    ) {
        let map = map_of(&entries);
        assert_well_formed(&map);
        prop_assert_eq!(map.given_up(), 0);
        for address in 0..270 {
            prop_assert_eq!(kind_at(&map, address), model(&entries, address), "{}", address);
        }
    }

    #[test]
    fn the_end_of_the_address_space_equals_the_model(
        entries in vec((0..200u64, prop_oneof![0..250u64, any::<u64>()], kind()), 0..24),
    ) {
        let entries: Vec<_> = entries
            .iter()
            .map(|&(offset, length, kind)| (u64::MAX - 199 + offset, length, kind))
            .collect();
        let map = map_of(&entries);
        assert_well_formed(&map);
        for address in u64::MAX - 199..u64::MAX {
            prop_assert_eq!(kind_at(&map, address), model(&entries, address), "{}", address);
        }
        // Nothing has come round to the start.
        prop_assert_eq!(kind_at(&map, 0), None);
    }

    #[test]
    fn the_order_does_not_matter(
        entries in vec((0..200u64, 0..60u64, kind()), 0..24).prop_shuffle(),
    ) {
        let mut sorted = entries.clone();
        sorted.sort();
        prop_assert_eq!(regions(&map_of(&entries)), regions(&map_of(&sorted)));
    }

    #[test]
    fn usable_pages_lie_within_usable_bytes(
        entries in vec((0..0x8000u64, 0..0x4000u64, kind()), 0..12),
    ) {
        let map = map_of(&entries);
        let pages: Vec<_> = map
            .usable()
            .flat_map(|range| {
                assert!(range.start % 4096 == 0 && range.end % 4096 == 0 && !range.is_empty());
                range.step_by(4096)
            })
            .collect();
        for page in (0..0xd000).step_by(4096) {
            let whole = (page..page + 4096).all(|a| model(&entries, a) == Some(RAM));
            prop_assert_eq!(pages.contains(&page), whole, "{:#x}", page);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However many entries there are, RAM may be lost but is never made up.
    #[test]
    fn a_full_map_invents_no_ram(
        entries in vec((0..3000u64, 1..12u64, kind()), 200..700),
    ) {
        let map = map_of(&entries);
        assert_well_formed(&map);
        for address in 0..3020 {
            let (is, should_be) = (kind_at(&map, address), model(&entries, address));
            if map.given_up() == 0 || is == Some(RAM) {
                prop_assert_eq!(is, should_be, "{}", address);
            }
            if should_be.is_some_and(|kind| kind != RAM) {
                prop_assert!(is.is_some_and(|kind| kind != RAM), "{}", address);
            }
        }
    }
}

#[test]
fn ram_that_wraps_is_ignored_and_counted() {
    let map = map_of(&[
        (0x1000, u64::MAX, RAM),
        (u64::MAX, 1, RAM),
        (u64::MAX, u64::MAX, RAM),
        (0, 0x1000, RAM),
    ]);
    assert_eq!(regions(&map), [(0, 0x1000, RAM)]);
    assert_eq!(map.ignored(), 3);
}

#[test]
fn what_is_not_ram_is_cut_at_the_end() {
    let map = map_of(&[
        (0, u64::MAX, RAM),
        (1 << 52, u64::MAX, RESERVED),
        (u64::MAX, 5, RESERVED),
    ]);
    assert_eq!(
        regions(&map),
        [(0, 1 << 52, RAM), (1 << 52, u64::MAX, RESERVED)]
    );
    assert_eq!(map.ignored(), 0);
}

/// RAM in many pieces with gaps: the map keeps 128 of them, the largest.
#[test]
fn too_many_pieces_of_ram() {
    for count in 120..=200u64 {
        let entries: Vec<_> = (0..count).map(|i| (i * 0x1000, 0x100 + i, RAM)).collect();
        let map = map_of(&entries);
        let given_up = count.saturating_sub(128);
        let kept: Vec<_> = (given_up..count)
            .map(|i| (i * 0x1000, i * 0x1000 + 0x100 + i, RAM))
            .collect();
        assert_eq!(regions(&map), kept);
        assert_eq!(u64::from(map.given_up()), given_up);
    }
}

/// 200 reserved pieces, then RAM under all of them: the smallest gaps are reserved too.
#[test]
fn too_many_reserved_pieces() {
    let mut entries: Vec<_> = (0..200u64)
        .map(|i| (i * 0x1000, 0xf00 - i, RESERVED))
        .collect();
    entries.push((0, 200 * 0x1000, RAM));
    let map = map_of(&entries);
    assert_well_formed(&map);
    assert!(map.given_up() >= 72, "{}", map.given_up());
    let ram = map.regions().iter().filter(|r| r.kind.is_usable());
    assert!(ram.clone().count() > 30, "{map:?}");
    for region in ram {
        assert_eq!(
            region.start / 0x1000,
            (region.end - 1) / 0x1000,
            "{region:?}"
        );
        assert!(region.start % 0x1000 >= 0xf00 - 200, "{region:?}");
    }
}

#[test]
fn exactly_full() {
    let entries: Vec<_> = (0..128u64).map(|i| (i * 0x1000, 0x800, RAM)).collect();
    let mut map = map_of(&entries);
    assert_eq!((map.regions().len(), map.given_up()), (128, 0));
    // Joins 128 and 127 gaps into one region.
    map.insert(0, 128 * 0x1000, RegionKind::USABLE);
    assert_eq!(regions(&map), [(0, 128 * 0x1000, RAM)]);
    assert_eq!(map.given_up(), 0);
}

#[test]
fn reserving_splits_ram() {
    let mut map = map_of(&[(0, 0x10_0000, RAM)]);
    map.reserve(0x4800..0x5800);
    map.reserve(0x9000..0x9000);
    assert_eq!(usable(&map), [(0, 0x4000), (0x6000, 0x10_0000)]);
    assert_eq!(map.regions().len(), 3);
}

#[test]
fn a_range_is_usable_if_all_of_it_is_ram() {
    let map = map_of(&[
        (0x1000, 0x1000, RAM),
        (0x2000, 0x1000, RAM),
        (0x3000, 0x1000, ACPI),
        (0x4000, 0x1000, RAM),
    ]);
    for range in [0x1000..0x3000, 0x1fff..0x2001, 0x4000..0x4000] {
        assert!(map.is_usable(&range), "{range:#x?}");
    }
    for range in [
        0xfff..0x1001,
        0x2fff..0x3001,
        0x1000..0x5000,
        0x3000..0x4000,
        0x5001..0x5002,
    ] {
        assert!(!map.is_usable(&range), "{range:#x?}");
    }
}

#[test]
fn kinds_print_their_names() {
    let names: Vec<_> = (0..7).map(|kind| RegionKind(kind).to_string()).collect();
    let expected = [
        "reserved (type 0)",
        "usable",
        "reserved",
        "ACPI reclaimable",
        "ACPI NVS",
        "bad",
        "reserved (type 6)",
    ];
    assert_eq!(names, expected);
}

/// What only a backend may say, and so would be mapped, is reserved when a loader says it.
#[test]
fn no_loader_keeps_memory_for_a_backend() {
    let (start, length) = (0xfd00_0000, 0x10_0000);
    let entry = (start, length, RegionKind::KEPT_BY_BACKEND.0);
    let maps = [
        BootInfo::from_pvh(&pvh_with_map(&[entry]), START_INFO)
            .map(|info| info.memory_map().clone()),
        super::multiboot::map_of(&[entry]),
        super::multiboot2::map_of(&[entry]),
    ];
    for map in maps {
        let map = map.unwrap();
        assert_eq!(kind_at(&map, start), Some(RESERVED));
        assert_eq!(map.to_map().next(), None);
    }
}
