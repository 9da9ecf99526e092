//! The console of a domain that has one from its toolstack: a ring for input and a ring for output.
//!
//! [`console_ring`](crate::console_ring()) gives page and port in PVH and HVM guests. In PV guests the library
//! itself has the ring. Domain 0 has none. Xen's public/io/console.h.

use core::fmt;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32};

use crate::byte_ring::{BadIndex, Consumer, Producer};
use crate::peer_events::{GaveUp, PeerEvents};

/// The kernel's end of the rings. The kernel keeps it behind a lock; nothing here waits, but
/// [`write_all`](Self::write_all).
pub struct Console<'page> {
    output: Producer<'page>,
    input: Consumer<'page>,
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console<'_> {
    /// Goes on where the page's indexes stand.
    ///
    /// # Safety
    ///
    /// `page` is the console's, aligned to 4, mapped readable and writable for as long as the console
    /// is used, and only accessed atomically. No other [`Console`] is on it. Its content need not be
    /// valid.
    pub unsafe fn new(page: NonNull<Page>) -> Self {
        // SAFETY: as the caller vouches. All fields are atomics, so the reference says nothing of the
        // content.
        let page = unsafe { page.as_ref() };
        Console {
            output: Producer::new(&page.output, &page.output_produced, &page.output_consumed),
            input: Consumer::new(&page.input, &page.input_consumed, &page.input_produced),
        }
    }

    /// Writes as many bytes as there is room for. How many; if that is not 0, send on the event
    /// channel. Any context.
    ///
    /// # Errors
    ///
    /// The other side's index makes no sense. Nothing is written then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        self.output.write(bytes)
    }

    /// Writes all, and waits for room where there is none.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and when `events` waits no longer. What was written before that
    /// stays.
    pub fn write_all(
        &mut self,
        mut bytes: &[u8],
        events: &mut impl PeerEvents,
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let count = self.write(bytes)?;
            bytes = &bytes[count..];
            if count > 0 {
                events.notify();
            } else {
                events.wait()?;
            }
        }
        Ok(())
    }

    /// How many of the bytes written nobody has read yet. Any context.
    ///
    /// # Errors
    ///
    /// The other side's index makes no sense.
    pub fn unread(&self) -> Result<usize, BadIndex> {
        self.output.unread()
    }

    /// Reads what has been typed, as much as fits. How many bytes; if that is not 0, send on the event
    /// channel, for there may be more to come. Any context.
    ///
    /// # Errors
    ///
    /// The other side's index makes no sense. Nothing is read then.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BadIndex> {
        self.input.read(buffer)
    }
}

/// Why not all was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WriteError {
    /// The other side's index makes no sense.
    BadIndex(BadIndex),
    /// There was no room, and the kernel waits no longer.
    GaveUp(GaveUp),
}

impl From<BadIndex> for WriteError {
    fn from(error: BadIndex) -> Self {
        WriteError::BadIndex(error)
    }
}

impl From<GaveUp> for WriteError {
    fn from(error: GaveUp) -> Self {
        WriteError::GaveUp(error)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::BadIndex(error) => error.fmt(formatter),
            WriteError::GaveUp(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for WriteError {}

const INPUT_SIZE: usize = 1024;
const OUTPUT_SIZE: usize = 2048;

/// `struct xencons_interface`, what the page of a console begins with.
#[repr(C)]
pub struct Page {
    input: [AtomicU8; INPUT_SIZE],
    output: [AtomicU8; OUTPUT_SIZE],
    input_consumed: AtomicU32,
    input_produced: AtomicU32,
    output_consumed: AtomicU32,
    output_produced: AtomicU32,
}

impl fmt::Debug for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Page").finish_non_exhaustive()
    }
}

const _: () = {
    assert!(offset_of!(Page, input) == 0);
    assert!(offset_of!(Page, output) == 1024);
    assert!(offset_of!(Page, input_consumed) == 3072);
    assert!(offset_of!(Page, input_produced) == 3076);
    assert!(offset_of!(Page, output_consumed) == 3080);
    assert!(offset_of!(Page, output_produced) == 3084);
    assert!(size_of::<Page>() == 3088);
};
