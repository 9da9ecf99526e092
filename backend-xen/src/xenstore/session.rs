//! Which message answers what, and what becomes of the others.

use core::ptr::NonNull;

use zerocopy::IntoBytes;

use super::connection::Connection;
use super::event_queue::{EventQueue, WatchEvent};
use super::message::{Header, MessageType, PAYLOAD_MAX};
use super::page::Page;
use super::{Breach, Error, Transaction};
use crate::peer_events::PeerEvents;

pub(super) struct Session<'memory, E> {
    connection: Connection<'memory, E>,
    queue: EventQueue<'memory>,
    last_request: u32,
    /// How many requests may yet be answered that nobody waits for.
    abandoned: u32,
    breach: Option<Breach>,
}

/// Who removes a large tree that it watches meets thousands of events before the answer.
const OTHERS_BEFORE_ANSWER: usize = 1 << 16;

impl<'memory, E: PeerEvents> Session<'memory, E> {
    /// # Safety
    ///
    /// As for [`Xenstore::new`](super::Xenstore::new).
    pub(super) unsafe fn new(
        page: NonNull<Page>,
        events: E,
        message: &'memory mut [u8; PAYLOAD_MAX],
        event_queue: &'memory mut [u8],
    ) -> Result<Self, Error> {
        Ok(Session {
            // SAFETY: as the caller vouches.
            connection: unsafe { Connection::new(page, events, message)? },
            queue: EventQueue::new(event_queue),
            last_request: 0,
            abandoned: 0,
            breach: None,
        })
    }

    /// Sends a request and gives the payload of its reply.
    pub(super) fn request(
        &mut self,
        kind: MessageType,
        transaction: Transaction,
        parts: &[&[u8]],
    ) -> Result<&[u8], Error> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > PAYLOAD_MAX {
            return Err(Error::BadArgument);
        }
        self.check()?;
        self.last_request = self.last_request.wrapping_add(1);
        let header = Header {
            kind,
            request: self.last_request,
            transaction: transaction.0,
            length: length as u32,
        };
        let reply = self.exchange(header, parts);
        let reply = self.note(reply)?;
        let payload = self.connection.payload(reply);
        if reply.kind == MessageType::ERROR {
            return Err(Error::of_reply(payload));
        }
        Ok(payload)
    }

    /// Whether there is an event to [take](Self::take_event), after a look at what has arrived.
    pub(super) fn poll_events(&mut self) -> Result<bool, Error> {
        self.check()?;
        let arrival = self.receive_event();
        self.note(arrival)?;
        if self.queue.take_lost() {
            return Err(Error::EventsLost);
        }
        Ok(!self.queue.is_empty())
    }

    pub(super) fn take_event(&mut self) -> Option<WatchEvent<'_>> {
        self.queue.pop()
    }

    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let waited = self.connection.wait();
        self.note(waited)
    }

    pub(super) fn reconnect(&mut self) -> Result<(), Error> {
        let reconnected = self.connection.reconnect();
        match reconnected {
            Ok(()) => {
                self.queue.clear();
                self.abandoned = 0;
                self.breach = None;
            }
            Err(Error::NoReconnection) => {}
            Err(_) => self.breach = Some(Breach::CutShort),
        }
        reconnected
    }

    /// # Safety
    ///
    /// As for [`Xenstore::resume`](super::Xenstore::resume).
    pub(super) unsafe fn resume(&mut self, page: NonNull<Page>, events: E) -> Result<(), Error> {
        self.queue.clear();
        // SAFETY: as the caller vouches.
        let moved = unsafe { self.connection.move_to(page, events) };
        // What was abandoned may have come along, and be answered here.
        self.breach = moved.is_err().then_some(Breach::CutShort);
        moved
    }

    fn exchange(&mut self, header: Header, parts: &[&[u8]]) -> Result<Header, Error> {
        let mut others = 0;
        self.send(header.as_bytes(), parts, &mut others)?;
        loop {
            let Some(message) = self.connection.receive()? else {
                if let Err(error) = self.connection.wait() {
                    self.abandoned += u32::from(error == Error::GaveUp);
                    return Err(error);
                }
                continue;
            };
            let is_answer = [header.kind, MessageType::ERROR].contains(&message.kind);
            if is_answer && message.request == header.request {
                return Ok(message);
            }
            self.take_other(message, &mut others)?;
        }
    }

    fn send(&mut self, header: &[u8], parts: &[&[u8]], others: &mut usize) -> Result<(), Error> {
        let mut is_begun = false;
        for mut rest in core::iter::once(&header).chain(parts).copied() {
            while !rest.is_empty() {
                let count = self.connection.send(rest)?;
                rest = &rest[count..];
                is_begun |= count > 0;
                if count > 0 {
                    continue;
                }
                // xenstored may take no request while nobody takes its events.
                if let Some(message) = self.connection.receive()? {
                    self.take_other(message, others)?;
                    continue;
                }
                match self.connection.wait() {
                    Err(Error::GaveUp) if is_begun => return Err(Breach::CutShort.into()),
                    waited => waited?,
                }
            }
        }
        Ok(())
    }

    /// Takes messages until there is an event in the queue, or one is lost.
    fn receive_event(&mut self) -> Result<(), Error> {
        let mut others = 0;
        while self.queue.is_empty() && !self.queue.has_lost() {
            let Some(message) = self.connection.receive()? else {
                break;
            };
            self.take_other(message, &mut others)?;
        }
        Ok(())
    }

    /// Takes a message that is not the answer now waited for.
    fn take_other(&mut self, message: Header, others: &mut usize) -> Result<(), Breach> {
        *others += 1;
        if *others > OTHERS_BEFORE_ANSWER {
            return Err(Breach::Flood);
        }
        if message.kind == MessageType::WATCH_EVENT {
            self.queue.push(self.connection.payload(message));
        } else if self.abandoned > 0 {
            self.abandoned -= 1;
        } else {
            return Err(Breach::UnexpectedMessage);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.breach.map_or(Ok(()), |breach| Err(breach.into()))
    }

    /// Remembers that the connection is broken, if that is what the error says.
    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Broken(breach)) = result {
            self.breach = Some(breach);
        }
        result
    }
}
