extern crate std;

use core::array;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::event_channel::race::race;

/// The bits, and Xen's part: what it does with them for one CPU.
struct Machine {
    pending: [AtomicWord; WORDS],
    mask: [AtomicWord; WORDS],
    selector: AtomicWord,
    upcall: AtomicBool,
}

impl Machine {
    fn new(pending: &[Word], mask: &[Word]) -> Self {
        let words = |values: &[Word]| array::from_fn(|word| AtomicWord::new(values[word]));
        Machine {
            pending: words(pending),
            mask: words(mask),
            selector: AtomicWord::new(0),
            upcall: AtomicBool::new(false),
        }
    }

    fn quiet() -> Self {
        Self::new(&[0; WORDS], &[0; WORDS])
    }

    fn bits(&self) -> Bits<'_> {
        Bits {
            pending: &self.pending,
            mask: &self.mask,
        }
    }

    /// `evtchn_2l_set_pending`.
    fn send(&self, port: Port) {
        let (pending, bit) = at(&self.pending, port).unwrap();
        if pending.fetch_or(bit, Ordering::SeqCst) & bit == 0 {
            self.announce_unless_masked(port);
        }
    }

    /// `evtchn_2l_unmask`.
    fn unmask(&self, port: Port) {
        let (mask, bit) = at(&self.mask, port).unwrap();
        let (pending, _) = at(&self.pending, port).unwrap();
        if mask.fetch_and(!bit, Ordering::SeqCst) & bit != 0
            && pending.load(Ordering::SeqCst) & bit != 0
        {
            self.announce(port);
        }
    }

    fn announce_unless_masked(&self, port: Port) {
        let (mask, bit) = at(&self.mask, port).unwrap();
        if mask.load(Ordering::SeqCst) & bit == 0 {
            self.announce(port);
        }
    }

    fn announce(&self, port: Port) {
        let word = 1 << (port.0 / Word::BITS);
        if self.selector.fetch_or(word, Ordering::SeqCst) & word == 0 {
            self.upcall.store(true, Ordering::SeqCst);
        }
    }

    /// What a CPU does in the upcall, if there is one.
    fn take(&self, mut visit: impl FnMut(Port)) {
        while self.upcall.swap(false, Ordering::SeqCst) {
            let selector = self.selector.swap(0, Ordering::SeqCst);
            self.bits().scan(selector, Port(0), |port| {
                self.bits().clear_pending(port);
                visit(port);
            });
        }
    }
}

fn words() -> impl Strategy<Value = Vec<Word>> {
    let word = prop_oneof![
        Just(0),
        Just(!0),
        any::<Word>(),
        (0..Word::BITS).prop_map(|bit| 1 << bit)
    ];
    proptest::collection::vec(word, WORDS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

    #[test]
    fn each_ready_port_of_a_selected_word_is_visited_once_in_order(
        pending in words(), mask in words(), selector: Word, start: u32,
    ) {
        let machine = Machine::new(&pending, &mask);
        let mut visited = Vec::new();
        machine.bits().scan(selector, Port(start), |port| visited.push(port.0));
        let first = start % PORTS;
        let expected: Vec<u32> = (first..PORTS).chain(0..first)
            .filter(|&port| {
                let (word, bit) = (port as usize / WORD_BITS, port % Word::BITS);
                selector >> word & 1 != 0 && (pending[word] & !mask[word]) >> bit & 1 != 0
            })
            .collect();
        prop_assert_eq!(visited, expected);
    }

    /// Xen, or a domain that floods us.
    #[test]
    fn bits_that_are_set_all_the_time_make_no_port_come_twice(
        selector: Word, start: u32, noise in words(),
    ) {
        let machine = Machine::new(&noise, &[0; WORDS]);
        let mut visited = HashSet::new();
        machine.bits().scan(selector, Port(start), |port| {
            assert!(visited.insert(port.0), "{port:?} came twice");
            machine.bits().clear_pending(port);
            for (word, noise) in machine.pending.iter().zip(&noise) {
                word.fetch_or(noise.rotate_left(port.0), Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn any_port_can_be_masked_and_unmasked(port: u32, pending in words(), mask in words()) {
        let machine = Machine::new(&pending, &mask);
        let bits = machine.bits();
        bits.mask(Port(port));
        prop_assert!(bits.mask(Port(port)));
        let unmasked = bits.unmask(Port(port));
        let is_pending = at(&machine.pending, Port(port))
            .is_none_or(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0);
        prop_assert_eq!(unmasked == Unmasked::ByXen, is_pending);
        // What Xen is to unmask is masked until it does.
        prop_assert_eq!(bits.mask(Port(port)), is_pending);
    }
}

#[test]
fn what_a_handler_masks_does_not_come() {
    let machine = Machine::new(&[!0; WORDS], &[0; WORDS]);
    let mut visited = Vec::new();
    machine.bits().scan(0b11, Port(5), |port| {
        visited.push(port.0);
        (0..PORTS)
            .filter(|port| port % Word::BITS != 20)
            .for_each(|port| {
                machine.bits().mask(Port(port));
            });
    });
    assert_eq!(visited, [5, 20, Word::BITS + 20]);
}

/// Of an event and an unmasking at the same time none gets lost, whichever is first.
#[test]
fn no_event_is_lost_to_an_unmasking_at_the_same_time() {
    const PORT: Port = Port(77);
    let machine = Machine::quiet();
    race(
        || {
            machine.bits().mask(PORT);
        },
        || machine.send(PORT),
        || {
            if machine.bits().unmask(PORT) == Unmasked::ByXen {
                machine.unmask(PORT);
            }
        },
        || {
            let mut seen = 0;
            machine.take(|_| seen += 1);
            assert_eq!(seen, 1);
        },
    );
}
