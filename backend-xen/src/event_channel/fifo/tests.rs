extern crate std;

use core::array;
use core::sync::atomic::AtomicU64;
use std::boxed::Box;
use std::sync::Mutex;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::event_channel::race::race;

const LIMIT: u32 = 10_000;

/// Words, the queues of one CPU, and Xen's part: how it puts words there.
struct Machine {
    words: Words,
    block: ControlBlock,
    queues: Queues,
    tails: Mutex<[u32; PRIORITIES]>,
}

impl Machine {
    fn new(pages: usize) -> Self {
        let machine = Machine {
            words: Words::new(),
            block: ControlBlock {
                ready: AtomicU32::new(0),
                reserved: AtomicU32::new(0),
                head: array::from_fn(|_| AtomicU32::new(0)),
            },
            queues: Queues::new(),
            tails: Mutex::new([0; PRIORITIES]),
        };
        for _ in 0..pages {
            machine.words.add(page(), || Ok(())).unwrap();
        }
        machine
    }

    fn word(&self, port: u32) -> &AtomicU32 {
        self.words.get(Port(port)).unwrap()
    }

    /// Gives a word any content.
    fn write(&self, port: u32, word: u32) {
        self.word(port).store(word, Ordering::Relaxed);
    }

    fn announce(&self, priority: usize, head: u32) {
        self.block.head[priority].store(head, Ordering::Relaxed);
        self.block.ready.fetch_or(1 << priority, Ordering::Relaxed);
    }

    /// `evtchn_fifo_set_pending`.
    fn send(&self, port: u32, priority: usize) {
        let before = self.word(port).fetch_or(PENDING, Ordering::SeqCst);
        if before & (MASKED | LINKED) == 0 {
            self.link(port, priority);
        }
    }

    /// `evtchn_fifo_unmask`.
    fn unmask(&self, port: u32, priority: usize) {
        let before = self.word(port).fetch_and(!MASKED, Ordering::SeqCst);
        if before & PENDING != 0 {
            self.send(port, priority);
        }
    }

    fn link(&self, port: u32, priority: usize) {
        let mut tails = self.tails.lock().unwrap();
        if self.word(port).fetch_or(LINKED, Ordering::SeqCst) & LINKED != 0 {
            return;
        }
        let tail = core::mem::replace(&mut tails[priority], port);
        let appended = tail != 0 && tail != port && self.append(tail, port);
        if !appended {
            self.block.head[priority].store(port, Ordering::SeqCst);
            self.block.ready.fetch_or(1 << priority, Ordering::SeqCst);
        }
    }

    /// `evtchn_fifo_set_link`.
    fn append(&self, tail: u32, port: u32) -> bool {
        let with_link = |word| (word & LINKED != 0).then_some(word & !LINK | port);
        let order = Ordering::SeqCst;
        self.word(tail)
            .fetch_update(order, order, with_link)
            .is_ok()
    }

    /// The ports that come, taking their events, and how many links lead nowhere.
    fn take(&self, limit: u32) -> (Vec<u32>, u32, Left) {
        let (mut ports, mut strays) = (Vec::new(), 0);
        let visit = |port: Port| {
            self.words.clear_pending(port);
            ports.push(port.0);
        };
        let queues = &self.queues;
        let left = queues.consume(&self.words, &self.block, limit, visit, || strays += 1);
        (ports, strays, left)
    }
}

fn page() -> &'static Page {
    Box::leak(Box::new(array::from_fn(|_| AtomicU32::new(!0))))
}

#[test]
fn new_words_are_masked_and_port_0_is_none() {
    let machine = Machine::new(1);
    assert!(machine.words.get(Port(0)).is_none());
    assert!(machine.words.get(Port(1024)).is_none());
    assert!(machine.words.get(Port(u32::MAX)).is_none());
    for port in 1..1024 {
        assert_eq!(machine.word(port).load(Ordering::Relaxed), MASKED);
    }
}

#[test]
fn a_frame_that_xen_does_not_take_is_no_frame() {
    let words = Words::new();
    let refusal = words.add(page(), || Err(XenError::INVALID));
    assert_eq!(refusal, Err(XenError::INVALID));
    assert!(words.get(Port(1)).is_none());
    for _ in 0..PAGES {
        words.add(page(), || Ok(())).unwrap();
    }
    assert_eq!(words.add(page(), || Ok(())), Err(XenError::NO_SPACE));
    assert!(words.get(Port(PORTS - 1)).is_some());
    assert!(words.get(Port(PORTS)).is_none());
}

#[test]
fn events_come_by_priority_and_then_in_order() {
    let machine = Machine::new(1);
    (1..=9).for_each(|port| machine.unmask(port, 0));
    for (port, priority) in [(5, 7), (3, 7), (9, 15), (1, 7), (2, 0), (3, 7)] {
        machine.send(port, priority);
    }
    let nothing = (Vec::new(), 0, Left::Nothing);
    assert_eq!(
        machine.take(LIMIT),
        ([2, 5, 3, 1, 9].to_vec(), 0, Left::Nothing)
    );
    assert_eq!(machine.take(LIMIT), nothing);
    machine.send(9, 15);
    assert_eq!(machine.take(LIMIT), ([9].to_vec(), 0, Left::Nothing));
}

#[test]
fn the_event_of_a_masked_port_waits_for_xen_to_unmask_it() {
    let machine = Machine::new(1);
    machine.send(4, 7);
    assert_eq!(machine.words.unmask(Port(4)), Unmasked::ByXen);
    machine.unmask(4, 7);
    // Masked while it is in the queue.
    assert!(!machine.words.mask(Port(4)));
    assert_eq!(machine.take(LIMIT), (Vec::new(), 0, Left::Nothing));
    assert_eq!(machine.words.unmask(Port(4)), Unmasked::ByXen);
    machine.unmask(4, 7);
    assert_eq!(machine.take(LIMIT).0, [4]);
    machine.words.mask(Port(4));
    assert_eq!(machine.words.unmask(Port(4)), Unmasked::Done);
}

#[test]
fn events_of_an_emptied_queue_are_unannounced_until_xen_unmasks_them() {
    let machine = Machine::new(2);
    for port in [1, 2, 3, 1500] {
        machine.unmask(port, 0);
        machine.send(port, 7);
    }
    machine.words.mask(Port(2));
    machine.words.clear_pending(Port(3));
    let unannounced = || machine.words.unannounced().collect::<Vec<_>>();
    assert_eq!(unannounced(), [], "they are in a queue");
    let mut visited = Vec::new();
    let left = machine.queues.consume(
        &machine.words,
        &machine.block,
        LIMIT,
        |port| visited.push(port),
        || panic!(),
    );
    assert_eq!((left, &visited), (Left::Nothing, &unannounced()));
    assert_eq!(visited, [Port(1), Port(1500)]);
    machine.unmask(1500, 0);
    assert_eq!(unannounced(), [Port(1)]);
    assert_eq!(machine.take(LIMIT).0, [1500]);
}

#[test]
fn what_does_not_fit_into_one_call_comes_in_the_next() {
    let machine = Machine::new(2);
    (1..2048).for_each(|port| machine.unmask(port, 0));
    (1..2048).for_each(|port| machine.send(port, port as usize % 3));
    let mut all = Vec::new();
    loop {
        let (ports, strays, left) = machine.take(100);
        assert!(ports.len() <= 100 && strays == 0);
        all.extend(ports);
        if left == Left::Nothing {
            break;
        }
    }
    let mut sorted = all.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..2048).collect::<Vec<_>>());
}

#[test]
fn a_circle_of_links_ends() {
    let machine = Machine::new(1);
    for (port, link) in [(1, 2), (2, 3), (3, 1), (4, 4)] {
        machine.write(port, PENDING | LINKED | link);
    }
    machine.announce(0, 1);
    machine.announce(9, 4);
    assert_eq!(
        machine.take(LIMIT),
        ([1, 2, 3, 4].to_vec(), 0, Left::Nothing)
    );
}

#[test]
fn a_circle_that_xen_mends_all_the_time_is_left_in_the_middle() {
    let machine = Machine::new(1);
    machine.write(1, PENDING | LINKED | 1);
    machine.announce(0, 1);
    let mut count = 0;
    let visit = |_| {
        count += 1;
        machine.write(1, PENDING | LINKED | 1);
        machine.announce(0, 1);
    };
    let left = machine
        .queues
        .consume(&machine.words, &machine.block, 50, visit, || {});
    assert_eq!((left, count), (Left::More, 50));
}

#[test]
fn links_to_words_that_there_are_not_end_a_queue() {
    let machine = Machine::new(1);
    machine.write(1, PENDING | LINKED | 5000);
    machine.announce(3, 1);
    machine.announce(4, 0);
    machine.announce(5, u32::MAX);
    machine.block.ready.fetch_or(!READY, Ordering::Relaxed);
    assert_eq!(machine.take(LIMIT), ([1].to_vec(), 3, Left::Nothing));
    // It goes on as if nothing had been.
    machine.words.clear_pending(Port(2));
    machine.unmask(2, 3);
    machine.send(2, 3);
    assert_eq!(machine.take(LIMIT).0, [2]);
}

#[test]
fn a_word_that_xen_is_busy_with_for_ever_is_left_to_xen() {
    let machine = Machine::new(1);
    machine.write(1, MASKED | LINKED | BUSY | 7);
    assert_eq!(machine.words.unmask(Port(1)), Unmasked::ByXen);
    machine.write(1, LINKED | BUSY | 7);
    assert_eq!(machine.words.unmask(Port(1)), Unmasked::Done);
    assert_eq!(machine.words.unmask(Port(4000)), Unmasked::ByXen);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

    #[test]
    fn whatever_is_in_the_words_no_more_come_than_may(
        words in proptest::collection::vec(any::<u32>(), 1023),
        near in any::<bool>(),
        heads: [u32; PRIORITIES],
        ready: u32,
        limit in 0..3000_u32,
    ) {
        let machine = Machine::new(1);
        // Links among the words that there are, or to anywhere.
        let link = |word: u32| if near { word & !LINK | (word % 1024) } else { word };
        for (port, &word) in (1..).zip(&words) {
            machine.write(port, link(word));
        }
        for (head, &value) in machine.block.head.iter().zip(&heads) {
            head.store(link(value) & LINK, Ordering::Relaxed);
        }
        machine.block.ready.store(ready, Ordering::Relaxed);
        let (ports, strays, left) = machine.take(limit);
        prop_assert!(ports.len() as u32 + strays <= limit);
        for &port in &ports {
            prop_assert_eq!(words[port as usize - 1] & (PENDING | MASKED), PENDING);
        }
        // Each queue ends, for a word that was taken has no link any more.
        let ends = machine.take(LIMIT).2 == Left::Nothing;
        prop_assert!(ends && (left == Left::Nothing || limit < 1024 + PRIORITIES as u32));
    }
}

/// Of an event and an unmasking at the same time none gets lost, whichever is first.
#[test]
fn no_event_is_lost_to_an_unmasking_at_the_same_time() {
    let machine = Machine::new(1);
    machine.unmask(1, 7);
    race(
        || {
            machine.words.mask(Port(1));
        },
        || machine.send(1, 7),
        || {
            if machine.words.unmask(Port(1)) == Unmasked::ByXen {
                machine.unmask(1, 7);
            }
        },
        || assert_eq!(machine.take(LIMIT), ([1].to_vec(), 0, Left::Nothing)),
    );
}

/// Nor is one lost to the CPU that takes the same word from its queue.
#[test]
fn no_event_is_lost_to_a_cpu_that_takes_the_one_before() {
    let machine = Machine::new(1);
    machine.unmask(1, 7);
    let sent = AtomicU64::new(0);
    let seen = AtomicU64::new(0);
    let take = || {
        let visit = |port| {
            machine.words.clear_pending(port);
            seen.store(sent.load(Ordering::SeqCst), Ordering::SeqCst);
        };
        let (words, block) = (&machine.words, &machine.block);
        machine
            .queues
            .consume(words, block, LIMIT, visit, || panic!())
    };
    race(
        || machine.send(1, 7),
        || {
            sent.fetch_add(1, Ordering::SeqCst);
            machine.send(1, 7);
        },
        || assert_eq!(take(), Left::Nothing),
        || {
            assert_eq!(take(), Left::Nothing);
            assert_eq!(seen.load(Ordering::SeqCst), sent.load(Ordering::SeqCst));
        },
    );
}
