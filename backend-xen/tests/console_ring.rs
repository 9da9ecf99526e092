//! The console's rings against a backend that knows the page by offsets only.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use proptest::prelude::*;
use pvops_backend_xen::console_ring::{Console, WriteError};
use pvops_backend_xen::{BadIndex, GaveUp, PeerEvents};

const INPUT: (usize, usize) = (0, 1024);
const OUTPUT: (usize, usize) = (1024, 2048);
const INPUT_CONSUMED: usize = 3072;
const INPUT_PRODUCED: usize = 3076;
const OUTPUT_CONSUMED: usize = 3080;
const OUTPUT_PRODUCED: usize = 3084;

struct Page(Box<[AtomicU32; 1024]>);

impl Page {
    fn at(start: u32) -> Self {
        let page = Page(Box::new([const { AtomicU32::new(0) }; 1024]));
        for offset in [
            INPUT_CONSUMED,
            INPUT_PRODUCED,
            OUTPUT_CONSUMED,
            OUTPUT_PRODUCED,
        ] {
            page.word(offset).store(start, Ordering::Relaxed);
        }
        page
    }

    fn console(&self) -> Console<'_> {
        // SAFETY: the page outlives the console, is aligned, accessed by atomics only, and the tests
        // make one console on it.
        unsafe { Console::new(NonNull::from(&*self.0).cast()) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        &self.0[offset / 4]
    }

    fn byte(&self, (ring, size): (usize, usize), index: u32) -> &AtomicU8 {
        let bytes: NonNull<[AtomicU8; 4096]> = NonNull::from(&*self.0).cast();
        // SAFETY: the page is as large, and one thread may access an atomic as smaller ones.
        unsafe { &bytes.as_ref()[ring + index as usize % size] }
    }

    /// What the backend prints: at most so many bytes.
    fn take_output(&self, most: u32) -> Vec<u8> {
        let consumed = self.word(OUTPUT_CONSUMED);
        let from = consumed.load(Ordering::Relaxed);
        let there = self
            .word(OUTPUT_PRODUCED)
            .load(Ordering::Acquire)
            .wrapping_sub(from);
        assert!(there <= 2048);
        let indexes = (0..there.min(most)).map(|at| from.wrapping_add(at));
        let bytes: Vec<u8> = indexes
            .map(|index| self.byte(OUTPUT, index).load(Ordering::Relaxed))
            .collect();
        consumed.store(from.wrapping_add(bytes.len() as u32), Ordering::Release);
        bytes
    }

    fn put_input(&self, bytes: &[u8]) {
        let produced = self.word(INPUT_PRODUCED);
        let from = produced.load(Ordering::Relaxed);
        for (at, &byte) in bytes.iter().enumerate() {
            self.byte(INPUT, from.wrapping_add(at as u32))
                .store(byte, Ordering::Relaxed);
        }
        produced.store(from.wrapping_add(bytes.len() as u32), Ordering::Release);
    }
}

/// A backend that prints some bytes whenever the kernel waits, and stops after so many waits.
struct Backend<'page> {
    page: &'page Page,
    printed: Rc<RefCell<Vec<u8>>>,
    each: u32,
    waits_left: u32,
}

impl PeerEvents for Backend<'_> {
    fn notify(&mut self) {}

    fn wait(&mut self) -> Result<(), GaveUp> {
        self.waits_left = self.waits_left.checked_sub(1).ok_or(GaveUp)?;
        let bytes = self.page.take_output(self.each);
        self.printed.borrow_mut().extend(bytes);
        Ok(())
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn all_is_printed_in_order(
        start in prop_oneof![any::<u32>(), u32::MAX - 3000..=u32::MAX],
        length in 0..if cfg!(miri) { 500 } else { 10_000_usize },
        each in 1..3000_u32,
    ) {
        let page = Page::at(start);
        let printed = Rc::default();
        let mut backend = Backend { page: &page, printed: Rc::clone(&printed), each, waits_left: 10_000 };
        let text = text(length);
        page.console().write_all(&text, &mut backend).unwrap();
        printed.borrow_mut().extend(page.take_output(u32::MAX));
        prop_assert!(*printed.borrow() == text);
    }

    #[test]
    fn all_that_is_typed_arrives(
        start in prop_oneof![any::<u32>(), u32::MAX - 3000..=u32::MAX],
        reads in prop::collection::vec((0..=1024_usize, 0..2000_usize), 1..20),
    ) {
        let page = Page::at(start);
        let mut console = page.console();
        let (mut typed, mut arrived) = (Vec::<u8>::new(), Vec::<u8>::new());
        for (to_type, to_read) in reads {
            let room = 1024 - (typed.len() - arrived.len());
            let bytes = text(to_type.min(room));
            page.put_input(&bytes);
            typed.extend(bytes);
            let mut buffer = vec![0; to_read];
            let count = console.read(&mut buffer).unwrap();
            prop_assert_eq!(count, to_read.min(typed.len() - arrived.len()));
            arrived.extend(&buffer[..count]);
        }
        prop_assert!(arrived[..] == typed[..arrived.len()]);
    }

    #[test]
    fn indexes_that_make_no_sense_are_errors(
        start: u32,
        distance in prop_oneof![any::<u32>(), 1020..1030_u32, 2040..2060_u32],
    ) {
        let page = Page::at(start);
        let mut console = page.console();
        page.word(OUTPUT_CONSUMED).store(start.wrapping_sub(distance), Ordering::Relaxed);
        page.word(INPUT_PRODUCED).store(start.wrapping_add(distance), Ordering::Relaxed);
        let room = 2048_usize.checked_sub(distance as usize);
        prop_assert_eq!(console.write(&[0; 3000]), room.ok_or(BadIndex));
        let there = Some(distance as usize).filter(|&there| there <= 1024);
        prop_assert_eq!(console.read(&mut [0; 3000]), there.ok_or(BadIndex));
    }
}

#[test]
fn a_backend_that_prints_nothing_is_given_up() {
    let page = Page::at(0);
    let mut console = page.console();
    assert_eq!(console.write(&text(3000)), Ok(2048));
    assert_eq!(console.write(b"more"), Ok(0));
    let mut backend = Backend {
        page: &page,
        printed: Rc::default(),
        each: 0,
        waits_left: 3,
    };
    let result = console.write_all(b"more", &mut backend);
    assert_eq!(result, Err(WriteError::GaveUp(GaveUp)));
    page.word(OUTPUT_CONSUMED).store(5000, Ordering::Relaxed);
    let result = console.write_all(b"more", &mut backend);
    assert_eq!(result, Err(WriteError::BadIndex(BadIndex)));
}
