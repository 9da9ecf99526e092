//! The flag words, against the numbers of Linux's vmi.h.

use pvops_backend_vmi::entry_flags::{Entries, FlushFlags, PageFlags, UpdateFlags};

#[test]
fn an_update_says_its_level() {
    let words = [1, 2, 3].map(|level| UpdateFlags::of_level(level).unwrap().0);
    assert_eq!(words, [0x01, 0x02, 0x04]);
    for level in [0, 4, 5, u32::MAX] {
        assert_eq!(UpdateFlags::of_level(level), None);
    }
}

#[test]
fn an_update_may_have_an_address_and_may_wait() {
    let flags = UpdateFlags::of_level(1).unwrap();
    assert_eq!(flags.deferred().0, 0x21);
    let at = flags.at(0xc123_4567);
    assert_eq!(at.0, 0xc123_4011);
    assert_eq!(at.deferred().0, 0xc123_4031);
    // Another address takes the place of the first.
    assert_eq!(at.at(0x1000).0, 0x1011);
}

#[test]
fn pages_are_registered_with_level_and_kind() {
    let word = |level, entries| PageFlags::of_level(level, entries).map(|flags| flags.0);
    assert_eq!(word(1, Entries::Bits32), Some(0x01));
    assert_eq!(word(2, Entries::Bits32), Some(0x02));
    assert_eq!(word(1, Entries::Bits64), Some(0x11));
    assert_eq!(word(2, Entries::Bits64), Some(0x12));
    // Page-directory-pointer tables can be shared.
    for level in [0, 3, 4] {
        assert_eq!(word(level, Entries::Bits64), None);
    }
}

#[test]
fn linux_composites_can_be_said() {
    let page_table = PageFlags::of_level(1, Entries::Bits64).unwrap();
    let directory = PageFlags::of_level(2, Entries::Bits64).unwrap();
    // VMI_PAGE_L1 and VMI_PAGE_L2 of vmi_32.c, with PAE.
    assert_eq!(page_table.zeroed().0, 0x51);
    assert_eq!(directory.zeroed().0, 0x52);
    assert_eq!(directory.zeroed().cloned().0, 0x72);
}

#[test]
fn a_flush_is_1_or_3() {
    assert_eq!((FlushFlags::NOT_GLOBAL.0, FlushFlags::ALL.0), (1, 3));
}
