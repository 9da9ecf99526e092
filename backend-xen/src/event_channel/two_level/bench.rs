//! The scan on memory of its own, for benchmarks.

use core::sync::atomic::Ordering;

use super::*;

/// Bits of all ports, in which nobody else sets any.
#[allow(missing_debug_implementations, reason = "for measurements only")]
pub struct TwoLevel {
    pending: [AtomicWord; WORDS],
    mask: [AtomicWord; WORDS],
}

impl TwoLevel {
    /// No events, and nothing masked.
    pub const fn new() -> Self {
        Self {
            pending: [const { AtomicWord::new(0) }; WORDS],
            mask: [const { AtomicWord::new(0) }; WORDS],
        }
    }

    /// Gives a port an event, as Xen does.
    pub fn send(&self, port: Port) {
        if let Some((word, bit)) = at(&self.pending, port) {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes all events, as in an upcall that names all words.
    pub fn take(&self, mut visit: impl FnMut(Port)) {
        let bits = Bits {
            pending: &self.pending,
            mask: &self.mask,
        };
        bits.scan(!0, Port(0), |port| {
            bits.clear_pending(port);
            visit(port);
        });
    }
}

impl Default for TwoLevel {
    fn default() -> Self {
        Self::new()
    }
}
