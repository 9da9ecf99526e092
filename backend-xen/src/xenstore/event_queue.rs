//! Watch events that came before anyone asked for them.

use super::message::strings;

/// Something under a path that is watched has changed, or may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WatchEvent<'memory> {
    /// What has changed: the watched path or one below it, relative if the watched path is.
    pub path: &'memory str,
    /// What the watch was set with.
    pub token: &'memory str,
}

impl<'memory> WatchEvent<'memory> {
    fn parse(payload: &'memory [u8]) -> Option<Self> {
        let mut strings = strings(payload).ok()?;
        let (path, token) = (strings.next()?, strings.next()?);
        strings
            .next()
            .is_none()
            .then_some(WatchEvent { path, token })
    }
}

/// Payloads of events, each behind its length, one after the other.
pub(super) struct EventQueue<'memory> {
    memory: &'memory mut [u8],
    start: usize,
    end: usize,
    has_lost: bool,
}

const LENGTH_SIZE: usize = size_of::<u16>();

impl<'memory> EventQueue<'memory> {
    pub(super) fn new(memory: &'memory mut [u8]) -> Self {
        EventQueue {
            memory,
            start: 0,
            end: 0,
            has_lost: false,
        }
    }

    /// Keeps the payload of an event, or remembers that one is lost: if it makes no sense, or there is
    /// no room.
    pub(super) fn push(&mut self, payload: &[u8]) {
        if WatchEvent::parse(payload).is_none() || self.keep(payload).is_none() {
            self.has_lost = true;
        }
    }

    /// The oldest event.
    pub(super) fn pop(&mut self) -> Option<WatchEvent<'_>> {
        let (length, rest) = self.memory[self.start..self.end].split_first_chunk()?;
        let payload = &rest[..u16::from_le_bytes(*length).into()];
        self.start += LENGTH_SIZE + payload.len();
        WatchEvent::parse(payload)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Whether an event was lost since the last call.
    pub(super) fn take_lost(&mut self) -> bool {
        core::mem::take(&mut self.has_lost)
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.has_lost) = (0, 0, false);
    }

    fn keep(&mut self, payload: &[u8]) -> Option<()> {
        let length = u16::try_from(payload.len()).ok()?.to_le_bytes();
        if self.memory.len() - self.end < LENGTH_SIZE + payload.len() {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let free = self.memory[self.end..].get_mut(..LENGTH_SIZE + payload.len())?;
        let (for_length, for_payload) = free.split_at_mut(LENGTH_SIZE);
        for_length.copy_from_slice(&length);
        for_payload.copy_from_slice(payload);
        self.end += free.len();
        Some(())
    }
}
