//! Bytes to and from xenstored, and where one message ends.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use zerocopy::FromBytes;

use super::message::{HEADER_SIZE, Header, PAYLOAD_MAX};
use super::page::{CONNECTED, ERROR_FIELD, Page, RECONNECT, RECONNECTION};
use super::{Breach, Error};
use crate::byte_ring::{Consumer, Producer};
use crate::peer_events::PeerEvents;

pub(super) struct Connection<'memory, E> {
    page: &'memory Page,
    requests: Producer<'memory>,
    responses: Consumer<'memory>,
    events: E,
    /// How much of the message that is arriving is here, header and payload.
    received: usize,
    header: [u8; HEADER_SIZE],
    payload: &'memory mut [u8; PAYLOAD_MAX],
}

impl<'memory, E: PeerEvents> Connection<'memory, E> {
    /// # Safety
    ///
    /// As for [`Xenstore::new`](super::Xenstore::new).
    pub(super) unsafe fn new(
        page: NonNull<Page>,
        events: E,
        payload: &'memory mut [u8; PAYLOAD_MAX],
    ) -> Result<Self, Error> {
        // SAFETY: as the caller vouches. All fields are atomics, so the reference says nothing of the
        // content.
        let page = unsafe { page.as_ref() };
        let (requests, responses) = rings(page);
        let mut connection = Connection {
            page,
            requests,
            responses,
            events,
            received: 0,
            header: [0; HEADER_SIZE],
            payload,
        };
        // A toolstack may start a domain before xenstored.
        connection.wait_until_connected()?;
        connection.start_over();
        Ok(connection)
    }

    /// Sends as much as there is room for. How much.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        let count = self.requests.write(bytes).map_err(|_| Breach::BadIndex)?;
        if count > 0 {
            self.events.notify();
        }
        Ok(count)
    }

    /// Takes what has arrived; the header, once a message is here as a whole. Then its
    /// [payload](Self::payload) is there until the next call.
    pub(super) fn receive(&mut self) -> Result<Option<Header>, Breach> {
        loop {
            let rest = match self.received.checked_sub(HEADER_SIZE) {
                None => &mut self.header[self.received..],
                Some(received) => {
                    let header = Header::read_from_bytes(&self.header)
                        .expect("a header is as long as a header");
                    let length = header.length as usize;
                    if length > PAYLOAD_MAX {
                        return Err(Breach::TooLong);
                    }
                    if received == length {
                        self.received = 0;
                        return Ok(Some(header));
                    }
                    &mut self.payload[received..length]
                }
            };
            let count = self.responses.read(rest).map_err(|_| Breach::BadIndex)?;
            if count == 0 {
                return Ok(None);
            }
            self.received += count;
            // It may wait for room.
            self.events.notify();
        }
    }

    /// The payload of the message that was received.
    pub(super) fn payload(&self, header: Header) -> &[u8] {
        &self.payload[..header.length as usize]
    }

    /// Waits until xenstored may have moved on.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        self.events.wait()?;
        if self.page.server_features.load(Ordering::Relaxed) & ERROR_FIELD != 0 {
            let reason = self.page.error.load(Ordering::Relaxed);
            if reason != 0 {
                return Err(Breach::EndedByServer(reason).into());
            }
        }
        Ok(())
    }

    /// Has xenstored forget all it knows of this connection.
    pub(super) fn reconnect(&mut self) -> Result<(), Error> {
        if self.page.server_features.load(Ordering::Relaxed) & RECONNECTION == 0 {
            return Err(Error::NoReconnection);
        }
        self.page.connection.store(RECONNECT, Ordering::Release);
        self.events.notify();
        self.wait_until_connected()?;
        self.start_over();
        Ok(())
    }

    /// Goes on by another page, after the domain has moved.
    ///
    /// # Safety
    ///
    /// As for [`Xenstore::new`](super::Xenstore::new).
    pub(super) unsafe fn move_to(&mut self, page: NonNull<Page>, events: E) -> Result<(), Error> {
        // SAFETY: as in `new`.
        self.page = unsafe { page.as_ref() };
        self.events = events;
        self.wait_until_connected()?;
        self.start_over();
        Ok(())
    }

    fn wait_until_connected(&mut self) -> Result<(), Error> {
        while self.page.connection.load(Ordering::Acquire) != CONNECTED {
            self.events.wait()?;
        }
        Ok(())
    }

    /// Goes on where the page says, and drops what others have left unread.
    fn start_over(&mut self) {
        (self.requests, self.responses) = rings(self.page);
        self.responses.skip_all();
        self.received = 0;
    }
}

fn rings(page: &Page) -> (Producer<'_>, Consumer<'_>) {
    (
        Producer::new(
            &page.requests,
            &page.requests_produced,
            &page.requests_consumed,
        ),
        Consumer::new(
            &page.responses,
            &page.responses_consumed,
            &page.responses_produced,
        ),
    )
}
