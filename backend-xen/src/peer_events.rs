//! How two domains tell each other that they have changed a page they share.

use core::fmt;

/// The event channel that belongs to a ring, as the kernel drives it.
pub trait PeerEvents {
    /// Tells the other side to look: sends on the event channel.
    fn notify(&mut self);

    /// Returns when the other side may have changed the page since the last return. It may return
    /// for no reason. An event that came before the call counts, so keep it: by the channel's pending
    /// bit, a semaphore, or a flag that the handler sets.
    ///
    /// # Errors
    ///
    /// The kernel waits no longer. This is where deadlines belong: a peer that is never ready, or
    /// sends events and does nothing else, is waited for as long as this returns `Ok`.
    fn wait(&mut self) -> Result<(), GaveUp>;
}

/// The kernel waits no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GaveUp;

impl fmt::Display for GaveUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the other domain did not answer in time")
    }
}

impl core::error::Error for GaveUp {}
