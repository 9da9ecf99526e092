//! Which references are free. That is in the kernel's own memory, where no other domain writes.

use super::RESERVED;

pub(super) struct References<'memory> {
    /// For each reference the next free one, or one of the marks.
    links: &'memory mut [u32],
    first_free: u32,
    /// All below are free or taken.
    end: u32,
}

/// There is no next.
const NONE: u32 = u32::MAX;
/// The reference is not free.
const TAKEN: u32 = u32::MAX - 1;

impl<'memory> References<'memory> {
    /// None at first.
    pub(super) fn new(links: &'memory mut [u32]) -> Self {
        References {
            links,
            first_free: NONE,
            end: RESERVED,
        }
    }

    /// None again.
    pub(super) fn clear(&mut self) {
        (self.first_free, self.end) = (NONE, RESERVED);
    }

    /// Makes those below `end` free that were not there yet, as far as there is memory.
    pub(super) fn extend_to(&mut self, end: usize) {
        let end = end.min(self.links.len()).min(TAKEN as usize) as u32;
        for index in (self.end..end).rev() {
            self.links[index as usize] = self.first_free;
            self.first_free = index;
        }
        self.end = self.end.max(end);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first_free == NONE
    }

    /// The one that is taken next.
    pub(super) fn first(&self) -> Option<u32> {
        (!self.is_empty()).then_some(self.first_free)
    }

    pub(super) fn take_first(&mut self) {
        if let Some(index) = self.first() {
            let link = &mut self.links[index as usize];
            self.first_free = core::mem::replace(link, TAKEN);
        }
    }

    pub(super) fn is_taken(&self, index: u32) -> bool {
        (RESERVED..self.end).contains(&index) && self.links[index as usize] == TAKEN
    }

    /// Makes one free that [is taken](Self::is_taken).
    pub(super) fn give_back(&mut self, index: u32) {
        self.links[index as usize] = self.first_free;
        self.first_free = index;
    }
}
