//! The APIC ids of a set, in pieces that one hypercall can name.

/// APIC ids next to each other: what KVM_HC_SEND_IPI takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    /// The lowest id, which is in it.
    pub(super) first: u32,
    /// Bit n is the id `first` + n.
    pub(super) bits: u128,
}

impl Window {
    /// How many ids there is room for: one for each bit of two registers.
    const LENGTH: u64 = 2 * usize::BITS as u64;

    pub(super) fn is_single(&self) -> bool {
        self.bits == 1
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        id.checked_sub(self.first)
            .is_some_and(|bit| self.bits.checked_shr(bit).is_some_and(|bits| bits & 1 != 0))
    }
}

/// As few windows as can have all of `ids`, in ascending order. The ids may be in any order.
pub(super) fn windows(ids: impl Iterator<Item = u32> + Clone) -> impl Iterator<Item = Window> {
    // The lowest id that is left must be in some window, and none has more of the others than the
    // one that begins there.
    let mut left = 0_u64;
    core::iter::from_fn(move || {
        let first = ids.clone().filter(|&id| u64::from(id) >= left).min()?;
        left = u64::from(first) + Window::LENGTH;
        let bits = ids
            .clone()
            .filter(|&id| id >= first && u64::from(id) < left)
            .fold(0, |bits, id| bits | 1 << (id - first));
        Some(Window { first, bits })
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LENGTH: u32 = Window::LENGTH as u32;

    fn of(ids: &[u32]) -> Vec<Window> {
        windows(ids.iter().copied()).collect()
    }

    #[test]
    fn neighbours_share_a_window() {
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[7]), [Window { first: 7, bits: 1 }]);
        let all: Vec<u32> = (0..LENGTH).rev().collect();
        assert_eq!(
            of(&all),
            [Window {
                first: 0,
                bits: u128::MAX >> (128 - LENGTH)
            }]
        );
        assert_eq!(
            of(&[LENGTH, 0]),
            [
                Window { first: 0, bits: 1 },
                Window {
                    first: LENGTH,
                    bits: 1
                }
            ]
        );
        assert_eq!(of(&[u32::MAX, u32::MAX - (LENGTH - 1)]).len(), 1);
    }

    /// Ids as machines have them (dense, in steps, in far clusters) and any others.
    fn ids() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            vec(0_u32..300, 0..256),
            (1_u32..64, 0_u32..1000).prop_map(|(step, first)| {
                (0..200).map(|number| first + number * step).collect()
            }),
            vec(
                (0_u32..8, 0_u32..40).prop_map(|(far, near)| far * 0x1000 + near),
                0..256
            ),
            vec(any::<u32>(), 0..256),
            vec(u32::MAX - 300..=u32::MAX, 0..256),
        ]
    }

    /// The fewest intervals of a window's length that cover a sorted set, by trying for each id all windows
    /// that it can be the last of.
    fn fewest(sorted: &[u32]) -> usize {
        let mut best = Vec::from([0]);
        for (last, &id) in sorted.iter().enumerate() {
            let reach = (0..=last).filter(|&first| id - sorted[first] < LENGTH);
            best.push(1 + reach.map(|first| best[first]).min().unwrap());
        }
        best[sorted.len()]
    }

    proptest! {
        #[test]
        fn each_id_is_in_one_window_and_nobody_else(ids in ids()) {
            let expected: BTreeSet<u32> = ids.iter().copied().collect();
            let mut named = Vec::new();
            for window in of(&ids) {
                prop_assert_eq!(window.bits & 1, 1);
                let before = named.len();
                for bit in 0..LENGTH {
                    if window.bits >> bit & 1 == 1 {
                        let id = window.first.checked_add(bit);
                        prop_assert!(id.is_some_and(|id| window.contains(id)));
                        named.extend(id);
                    }
                }
                prop_assert_eq!(window.is_single(), named.len() == before + 1);
                let contained = expected.iter().filter(|&&id| window.contains(id)).count();
                prop_assert_eq!(contained, named.len() - before);
            }
            prop_assert_eq!(named, expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn there_are_as_few_windows_as_can_be(ids in ids()) {
            let sorted: Vec<u32> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(of(&ids).len(), fewest(&sorted));
        }
    }
}
