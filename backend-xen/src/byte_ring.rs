//! A ring of bytes in a page that two domains share, as xenstore and the console have.
//!
//! The indexes run freely; the size is a power of two. Each end keeps its own index to itself and
//! takes only the other's from the page. What is found there is checked: the worst that a lying peer
//! gets us to do is to read or write bytes of the ring that are not its turn.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The other side's index is not within the ring's size of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadIndex;

/// The end that writes.
pub(crate) struct Producer<'page> {
    bytes: &'page [AtomicU8],
    produced: u32,
    produced_in_page: &'page AtomicU32,
    consumed_in_page: &'page AtomicU32,
}

/// The end that reads.
pub(crate) struct Consumer<'page> {
    bytes: &'page [AtomicU8],
    consumed: u32,
    consumed_in_page: &'page AtomicU32,
    produced_in_page: &'page AtomicU32,
}

impl<'page> Producer<'page> {
    /// Goes on where the page says.
    pub(crate) fn new(
        bytes: &'page [AtomicU8],
        produced: &'page AtomicU32,
        consumed: &'page AtomicU32,
    ) -> Self {
        debug_assert!(bytes.len().is_power_of_two());
        Producer {
            bytes,
            produced: produced.load(Ordering::Relaxed),
            produced_in_page: produced,
            consumed_in_page: consumed,
        }
    }

    /// Writes as many as there is room for. How many.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        // Acquire: the other side has read what is overwritten now.
        let consumed = self.consumed_in_page.load(Ordering::Acquire);
        let free = self.bytes.len() - used(self.bytes, self.produced, consumed)?;
        let count = free.min(bytes.len());
        for (cell, &byte) in cells(self.bytes, self.produced).zip(&bytes[..count]) {
            cell.store(byte, Ordering::Relaxed);
        }
        self.produced = self.produced.wrapping_add(count as u32);
        // Release: whoever sees the index sees the bytes.
        self.produced_in_page
            .store(self.produced, Ordering::Release);
        Ok(count)
    }

    /// How many bytes the other side has not read yet.
    pub(crate) fn unread(&self) -> Result<usize, BadIndex> {
        used(
            self.bytes,
            self.produced,
            self.consumed_in_page.load(Ordering::Relaxed),
        )
    }
}

impl<'page> Consumer<'page> {
    /// Goes on where the page says.
    pub(crate) fn new(
        bytes: &'page [AtomicU8],
        consumed: &'page AtomicU32,
        produced: &'page AtomicU32,
    ) -> Self {
        debug_assert!(bytes.len().is_power_of_two());
        Consumer {
            bytes,
            consumed: consumed.load(Ordering::Relaxed),
            consumed_in_page: consumed,
            produced_in_page: produced,
        }
    }

    /// Reads as many as there are and fit. How many.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BadIndex> {
        // Acquire: the bytes are read after the index.
        let produced = self.produced_in_page.load(Ordering::Acquire);
        let count = used(self.bytes, produced, self.consumed)?.min(buffer.len());
        for (byte, cell) in buffer[..count]
            .iter_mut()
            .zip(cells(self.bytes, self.consumed))
        {
            *byte = cell.load(Ordering::Relaxed);
        }
        self.consumed = self.consumed.wrapping_add(count as u32);
        // Release: the bytes are read before the other side sees that there is room.
        self.consumed_in_page
            .store(self.consumed, Ordering::Release);
        Ok(count)
    }

    /// Drops what is there, even if the index makes no sense.
    pub(crate) fn skip_all(&mut self) {
        self.consumed = self.produced_in_page.load(Ordering::Acquire);
        self.consumed_in_page
            .store(self.consumed, Ordering::Release);
    }
}

fn used(ring: &[AtomicU8], produced: u32, consumed: u32) -> Result<usize, BadIndex> {
    let used = produced.wrapping_sub(consumed) as usize;
    if used > ring.len() {
        return Err(BadIndex);
    }
    Ok(used)
}

/// All cells, from that of an index on.
fn cells(ring: &[AtomicU8], index: u32) -> impl Iterator<Item = &AtomicU8> {
    let (end, start) = ring.split_at(index as usize & (ring.len() - 1));
    start.iter().chain(end)
}

impl fmt::Display for BadIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the other side's index in a ring makes no sense")
    }
}

impl core::error::Error for BadIndex {}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const SIZE: usize = 16;

    /// A ring whose indexes stand at `start`.
    struct Page {
        bytes: [AtomicU8; SIZE],
        produced: AtomicU32,
        consumed: AtomicU32,
    }

    impl Page {
        fn at(start: u32) -> Self {
            Page {
                bytes: Default::default(),
                produced: start.into(),
                consumed: start.into(),
            }
        }

        fn ends(&self) -> (Producer<'_>, Consumer<'_>) {
            (
                Producer::new(&self.bytes, &self.produced, &self.consumed),
                Consumer::new(&self.bytes, &self.consumed, &self.produced),
            )
        }
    }

    fn cases() -> ProptestConfig {
        ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 256 },
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(cases())]

        /// Also where the indexes pass from 2^32 to 0.
        #[test]
        fn bytes_come_out_as_they_went_in(
            start in prop_oneof![any::<u32>(), u32::MAX - 40..=u32::MAX],
            steps in prop::collection::vec((0..2 * SIZE, 0..2 * SIZE), 1..40),
        ) {
            let page = Page::at(start);
            let (mut producer, mut consumer) = page.ends();
            let (mut written, mut read) = (0_u8, 0_u8);
            for (to_write, to_read) in steps {
                let bytes: Vec<u8> = (0..to_write).map(|at| written.wrapping_add(at as u8)).collect();
                let inside = written.wrapping_sub(read) as usize;
                let count = producer.write(&bytes).unwrap();
                prop_assert_eq!(count, to_write.min(SIZE - inside));
                written = written.wrapping_add(count as u8);

                let mut buffer = [0; 2 * SIZE];
                let count = consumer.read(&mut buffer[..to_read]).unwrap();
                prop_assert_eq!(count, to_read.min(written.wrapping_sub(read) as usize));
                for &byte in &buffer[..count] {
                    prop_assert_eq!(byte, read);
                    read = read.wrapping_add(1);
                }
            }
        }

        #[test]
        fn an_index_beyond_the_ring_is_an_error(
            start: u32,
            distance in prop_oneof![any::<u32>(), 0..3 * SIZE as u32],
        ) {
            let page = Page::at(start);
            let (mut producer, mut consumer) = page.ends();
            page.consumed.store(start.wrapping_sub(distance), Ordering::Relaxed);
            let room = SIZE.checked_sub(distance as usize);
            prop_assert_eq!(producer.write(&[1; SIZE]), room.ok_or(BadIndex));

            page.produced.store(start.wrapping_add(distance), Ordering::Relaxed);
            let there = Some(distance as usize).filter(|&there| there <= SIZE);
            prop_assert_eq!(consumer.read(&mut [0; 2 * SIZE]), there.ok_or(BadIndex));
        }
    }

    #[test]
    fn the_own_index_is_not_taken_from_the_page() {
        let page = Page::at(0);
        let (mut producer, mut consumer) = page.ends();
        assert_eq!(producer.write(b"ab"), Ok(2));
        page.produced.store(7, Ordering::Relaxed);
        assert_eq!(producer.write(b"c"), Ok(1));
        page.consumed.store(9, Ordering::Relaxed);
        let mut buffer = [0; 8];
        assert_eq!(consumer.read(&mut buffer), Ok(3));
        assert_eq!(&buffer[..3], b"abc");
    }
}
