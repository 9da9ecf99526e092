//! Random CPUID answers: no panic, a bounded number of reads, and well-formed interfaces.

use std::cell::Cell;
use std::collections::HashMap;

use proptest::collection::hash_map;
use proptest::prelude::*;
use pvops_core::probe::{CpuIdResult, Interfaces};

/// A register: a number, text, or a leaf.
fn register() -> impl Strategy<Value = u32> {
    let text = proptest::array::uniform4(b' '..=b'~').prop_map(u32::from_le_bytes);
    let leaf = (0..0x1_0100u32).prop_map(|low| 0x4000_0000 + low);
    prop_oneof![4 => text, 2 => leaf, 1 => Just(0), 1 => any::<u32>()]
}

fn answers() -> impl Strategy<Value = HashMap<u32, [u32; 4]>> {
    let key = (0..0x100u32).prop_map(|index| 0x4000_0000 + index * 0x100);
    // EAX is near the base more often than chance would have it.
    let near = (any::<bool>(), 0..0x102u32);
    let answer = (proptest::array::uniform4(register()), near);
    hash_map(key, answer, 0..200).prop_map(|answers| {
        let place = |(base, (mut registers, (near, offset)))| {
            let [eax, ..]: &mut [u32; 4] = &mut registers;
            if near {
                *eax = u32::wrapping_add(base, offset);
            }
            (base, registers)
        };
        answers.into_iter().map(place).collect()
    })
}

proptest! {
    #[test]
    fn any_answers(
        answers in answers(),
        otherwise in proptest::array::uniform4(register()),
        max_basic_leaf in prop_oneof![1 => Just(0), 8 => any::<u32>()],
        hypervisor in prop::bool::weighted(0.9),
    ) {
        let reads = Cell::new(0);
        let reader = |leaf: u32, _subleaf: u32| {
            reads.set(reads.get() + 1);
            let [eax, ebx, ecx, edx] = match leaf {
                0 => [max_basic_leaf, 0, 0, 0],
                1 => [0, 0, u32::from(hypervisor) << 31, 0],
                _ => *answers.get(&leaf).unwrap_or(&otherwise),
            };
            CpuIdResult { eax, ebx, ecx, edx }
        };
        let interfaces = Interfaces::scan(&reader);

        let expected_reads = match (max_basic_leaf, hypervisor) {
            (0, _) => 1,
            (_, false) => 2,
            (_, true) => 258,
        };
        prop_assert_eq!(reads.get(), expected_reads);
        prop_assert!(expected_reads <= Interfaces::MAX_READS);

        let found = interfaces.as_slice();
        prop_assert!(found.len() <= Interfaces::CAPACITY);
        prop_assert!(found.len() == Interfaces::CAPACITY || interfaces.dropped() == 0);
        prop_assert!(found.is_sorted_by(|a, b| a.base() < b.base()));
        prop_assert!(hypervisor || found.is_empty());
        for interface in found {
            let base = interface.base();
            prop_assert!((base..=base + 0xff).contains(&interface.max_leaf()));
            let name = interface.signature();
            prop_assert!(name.is_text());
            let found = interfaces.find(&name).unwrap();
            prop_assert!(found.signature() == name && found.base() >= base);
        }
    }
}
