//! Sets of CPUs, against a set that everybody trusts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pvops_core::cpu_set::{CpuSet, MAX_CPUS};

#[test]
fn a_new_set_is_empty_and_a_first_one_full_so_far() {
    assert!(CpuSet::new().is_empty());
    for count in [0, 1, 63, 64, 65, MAX_CPUS] {
        assert!(CpuSet::first(count).iter().eq(0..count));
    }
    for count in [MAX_CPUS + 1, usize::MAX] {
        assert!(CpuSet::first(count).iter().eq(0..MAX_CPUS));
    }
}

#[test]
fn cpus_beyond_the_last_are_in_no_set() {
    let mut set = CpuSet::new();
    for cpu in [MAX_CPUS, MAX_CPUS + 1, usize::MAX] {
        set.insert(cpu);
        set.remove(cpu);
        assert!(!set.contains(cpu) && set.is_empty());
    }
    // However many of them come first.
    let last: CpuSet = (MAX_CPUS..3 * MAX_CPUS).chain([1]).collect();
    assert!(last.iter().eq([1]));
}

proptest! {
    #[test]
    fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0..MAX_CPUS), 0..300)) {
        let (mut set, mut model) = (CpuSet::new(), BTreeSet::new());
        for (insert, cpu) in steps {
            if insert {
                set.insert(cpu);
                model.insert(cpu);
            } else {
                set.remove(cpu);
                model.remove(&cpu);
            }
            prop_assert_eq!(set.contains(cpu), model.contains(&cpu));
        }
        prop_assert!(set.iter().eq(model.iter().copied()));
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert_eq!(set, model.into_iter().collect());
    }
}
