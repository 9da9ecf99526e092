//! The two-level ABI: a bit for each port, and for each CPU a bit for each word of those.
//!
//! Xen sets a port's pending bit; if that was clear and the port is not masked, it sets the word's bit
//! in the selector of the CPU that the port is bound to, and raises the upcall.

use core::sync::atomic::Ordering;

use super::kinds::Port;
use crate::shared_info::{SharedInfo, WORDS};
use crate::word::{AtomicWord, Word};

/// How many ports there are.
pub(crate) const PORTS: u32 = WORDS as u32 * Word::BITS;

const WORD_BITS: usize = Word::BITS as usize;

/// The bits of all ports.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    pub(crate) pending: &'a [AtomicWord; WORDS],
    pub(crate) mask: &'a [AtomicWord; WORDS],
}

/// Whether unmasking is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Unmasked {
    /// It is.
    Done,
    /// Xen has to do it, since there may be an event that was not announced.
    ByXen,
}

impl<'a> Bits<'a> {
    pub(crate) fn of(page: &'a SharedInfo) -> Self {
        Bits {
            pending: &page.pending,
            mask: &page.mask,
        }
    }

    /// Masks all ports.
    pub(crate) fn mask_all(self) {
        for word in self.mask {
            word.store(!0, Ordering::Relaxed);
        }
    }

    /// Masks a port; whether it was masked before.
    pub(crate) fn mask(self, port: Port) -> bool {
        at(self.mask, port)
            .is_none_or(|(word, bit)| word.fetch_or(bit, Ordering::SeqCst) & bit != 0)
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn is_masked(self, port: Port) -> bool {
        at(self.mask, port).is_none_or(|(word, bit)| word.load(Ordering::SeqCst) & bit != 0)
    }

    /// Unmasks a port, or leaves it masked for Xen to do it.
    pub(crate) fn unmask(self, port: Port) -> Unmasked {
        let (Some((mask, bit)), Some((pending, _))) = (at(self.mask, port), at(self.pending, port))
        else {
            return Unmasked::ByXen;
        };
        if pending.load(Ordering::SeqCst) & bit != 0 {
            return Unmasked::ByXen;
        }
        mask.fetch_and(!bit, Ordering::SeqCst);
        // Xen sets the pending bit before it looks at the mask, we clear the mask before we look at the
        // pending bit: an event in this moment is announced by Xen, or seen here.
        if pending.load(Ordering::SeqCst) & bit == 0 {
            return Unmasked::Done;
        }
        // Xen announces only what it unmasks itself.
        mask.fetch_or(bit, Ordering::SeqCst);
        Unmasked::ByXen
    }

    /// Gives a port an event, which nobody announces.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn set_pending(self, port: Port) {
        if let Some((word, bit)) = at(self.pending, port) {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes the event of a port.
    pub(crate) fn clear_pending(self, port: Port) {
        if let Some((word, bit)) = at(self.pending, port) {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    /// Calls `visit` for each port with an event that is not masked, in the words that `selector` names,
    /// beginning with port `start` and going round. Each port at most once, whatever the bits do
    /// meanwhile; what `visit` masks further on is left out.
    pub(crate) fn scan(self, selector: Word, start: Port, mut visit: impl FnMut(Port)) {
        let (start_word, start_bit) = (start.0 as usize / WORD_BITS % WORDS, start.0 % Word::BITS);
        let below_start = (1 << start_bit) - 1;
        let mut visit_word = |word: usize, range: Word| {
            let mut left = if selector & 1 << word == 0 { 0 } else { range };
            loop {
                let ready = self.pending[word].load(Ordering::Acquire)
                    & !self.mask[word].load(Ordering::Acquire)
                    & left;
                if ready == 0 {
                    return;
                }
                let bit = ready.trailing_zeros();
                // Bits above this one.
                left &= !1 << bit;
                visit(Port(word as u32 * Word::BITS + bit));
            }
        };
        visit_word(start_word, !below_start);
        for distance in 1..WORDS {
            visit_word((start_word + distance) % WORDS, !0);
        }
        visit_word(start_word, below_start);
    }
}

/// The word of a port and its bit there; nothing for a port that there is not.
fn at(words: &[AtomicWord; WORDS], port: Port) -> Option<(&AtomicWord, Word)> {
    let word = words.get(port.0 as usize / WORD_BITS)?;
    Some((word, 1 << (port.0 % Word::BITS)))
}

#[cfg(feature = "bench")]
pub(super) mod bench;
#[cfg(test)]
mod tests;
