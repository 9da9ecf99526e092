//! What counts as an interface, and what does not.

use pvops_core::probe::{Interfaces, Signature};

use super::replay::{Machine, OutOfRange};

const NAME: &[u8; 12] = b"ExampleExamp";

fn machine() -> Machine {
    Machine::new(OutOfRange::Zero)
}

fn every_base() -> impl Iterator<Item = u32> {
    (0x4000_0000..=0x4000_ff00).step_by(0x100)
}

#[test]
fn every_base_is_looked_at() {
    for base in every_base() {
        let machine = machine().with_name(base, base + 1, NAME);
        let interfaces = machine.scan();
        assert_eq!(interfaces.as_slice().len(), 1);
        assert_eq!(interfaces.as_slice()[0].base(), base);
    }
}

#[test]
fn nothing_between_or_beyond_the_bases_is_looked_at() {
    for base in [
        0x4000_0001,
        0x4000_0080,
        0x4001_0000,
        0x3fff_ff00,
        0x8000_0000,
    ] {
        let machine = machine().with_name(base, base + 1, NAME);
        assert_eq!(machine.scanned(), []);
    }
}

#[test]
fn no_leaf_1_means_no_hypervisor_bit() {
    let machine = machine()
        .with(0, [0, 0, 0, 0])
        .with_name(0x4000_0000, 0x4000_0001, NAME);
    assert_eq!(machine.scanned(), []);
    assert_eq!(machine.reads(), 1);
}

#[test]
fn the_highest_leaf_lies_in_the_interface() {
    let base = 0x4000_0300;
    for (max_leaf, expected) in [
        (0, Some(base + 1)),
        (1, None),
        (0x16, None),
        (base - 1, None),
        (base, Some(base)),
        (base + 1, Some(base + 1)),
        (base + 0xff, Some(base + 0xff)),
        (base + 0x100, None),
        (0x8000_0008, None),
        (u32::MAX, None),
    ] {
        let interfaces = machine().with_name(base, max_leaf, NAME).scan();
        let found = interfaces.find(&Signature::new(*NAME));
        assert_eq!(found.map(|i| i.max_leaf()), expected, "{max_leaf:#x}");
    }
}

#[test]
fn the_name_is_text() {
    for (name, is_text) in [
        (b"KVMKVMKVM\0\0\0", true),
        (b" lrpepyh  vr", true),
        (b"___ NVMM ___", true),
        (b"Apple VZ\0\0\0\0", true),
        (b"abcde\0\0\0\0\0\0\0", true),
        // One register of text is taken for a number.
        (b"abcd\0\0\0\0\0\0\0\0", false),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", false),
        (b"\0ExampleExam", false),
        (b"Example\0Exam", false),
        (b"Example\x7fExam", false),
        (b"Example\nExam", false),
        (b"Exampl\xc3\xa9Exam", false),
    ] {
        assert_eq!(Signature::new(*name).is_text(), is_text, "{name:?}");
        let found = machine().with_name(0x4000_0000, 0x4000_0001, name).scan();
        assert_eq!(!found.as_slice().is_empty(), is_text, "{name:?}");
    }
}

/// Basic leaves that are echoed: frequencies, a topology, cache sizes, and the vendor's name.
#[test]
fn echoes_of_basic_leaves() {
    for registers in [
        [3000, 3600, 100, 0],
        [1, 2, 0x100, 3],
        [0, 0x64, 0, 0],
        [0, 0x6f6e_6e6f, 0, 0],
        [7, 0x340, 0x340, 0],
        [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
    ] {
        let mut machine = machine();
        for base in every_base() {
            machine = machine.with(base, registers);
        }
        assert_eq!(machine.scanned(), [], "{registers:x?}");
    }
}

/// A host that ignores the low bits of the leaf, and gives its highest leaf in each possible way.
#[test]
fn one_name_at_every_base() {
    type MaxLeaf = fn(u32) -> u32;
    let absolute: MaxLeaf = |_| 0x4000_0005;
    let relative: MaxLeaf = |base| base + 5;
    let none: MaxLeaf = |_| 0;
    for (max_leaf_at, max_leaf) in [
        (absolute, 0x4000_0005),
        (relative, 0x4000_0005),
        (none, 0x4000_0001),
    ] {
        let mut machine = machine();
        for base in every_base() {
            machine = machine.with_name(base, max_leaf_at(base), NAME);
        }
        let expected = (0x4000_0000, max_leaf, "ExampleExamp".to_string());
        assert_eq!(machine.scanned(), [expected]);
    }
}

/// Two names alternate: neither hides the other, and each is found once.
#[test]
fn two_names_at_every_base() {
    let mut machine = machine();
    for (index, base) in every_base().enumerate() {
        let name = [b"OneOneOneOne", b"TwoTwoTwoTwo"][index % 2];
        machine = machine.with_name(base, base + 1, name);
    }
    let found: Vec<_> = machine.scanned().into_iter().map(|i| (i.0, i.2)).collect();
    let expected = [
        (0x4000_0000, "OneOneOneOne".to_string()),
        (0x4000_0100, "TwoTwoTwoTwo".to_string()),
    ];
    assert_eq!(found, expected);
}

/// The same name twice, with more leaves in one place: no echo.
#[test]
fn find_gives_the_highest_base() {
    let machine = machine()
        .with_name(0x4000_0200, 0x4000_0205, NAME)
        .with_name(0x4000_0000, 0x4000_0001, NAME)
        .with_name(0x4000_0300, 0x4000_0305, b"OtherOtherOt");
    let interfaces = machine.scan();
    let found = interfaces.find(&Signature::new(*NAME)).unwrap();
    assert_eq!(found.base(), 0x4000_0200);
    let bases: Vec<_> = (&interfaces).into_iter().map(|i| i.base()).collect();
    assert_eq!(bases, [0x4000_0000, 0x4000_0200, 0x4000_0300]);
}

#[test]
fn more_interfaces_than_there_is_room_for() {
    let mut machine = machine();
    for (index, base) in every_base().enumerate() {
        let mut name = *NAME;
        name[0] = b'a' + (index % 16) as u8;
        name[1] = b'a' + (index / 16) as u8;
        machine = machine.with_name(base, base + 1, &name);
    }
    let interfaces = machine.scan();
    let bases: Vec<_> = interfaces.iter().map(|i| i.base()).collect();
    let lowest: Vec<_> = every_base().take(Interfaces::CAPACITY).collect();
    assert_eq!(bases, lowest);
    assert_eq!(interfaces.dropped(), 256 - 8);
}

#[test]
fn leaves_beyond_the_highest_are_not_read() {
    let machine = machine().with_name(0x4000_ff00, 0x4000_ff02, NAME);
    let interfaces = machine.scan();
    let interface = interfaces.find(&Signature::new(*NAME)).unwrap();
    let before = machine.reads();
    for offset in [3, 0xff, 0x100, 0xbfff_0100, u32::MAX] {
        assert!(interface.leaf(&machine, offset).is_none(), "{offset:#x}");
    }
    assert_eq!(machine.reads(), before);
    for offset in 0..=2 {
        assert!(interface.leaf(&machine, offset).is_some());
    }
}

#[test]
fn names_are_printed_with_care() {
    let print = |bytes: &[u8; 12]| Signature::new(*bytes).to_string();
    assert_eq!(print(b"KVMKVMKVM\0\0\0"), "KVMKVMKVM");
    assert_eq!(print(b"bhyve bhyve "), "bhyve bhyve ");
    assert_eq!(print(b"\0\0\0\0\0\0\0\0\0\0\0\0"), "");
    assert_eq!(print(b"a\0b\x1b[2J\xff\0\0\0\0"), r"a\x00b\x1b[2J\xff");
    let debug = format!("{:?}", Signature::new(*NAME));
    assert_eq!(debug, "\"ExampleExamp\"");
}

#[test]
fn registers_are_in_the_order_of_the_bytes() {
    let signature = Signature::from_registers(0x4b4d_564b, 0x564b_4d56, 0x0000_004d);
    assert_eq!(signature.as_bytes(), b"KVMKVMKVM\0\0\0");
}
