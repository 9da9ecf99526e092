//! What the toolstack wants of the whole domain: to be shut down, restarted, or suspended.
//!
//! It writes so to the node [`PATH`]. The kernel watches that, [takes](take) what is there, and does it.
//! Xen's docs/misc/xenstore-paths.pandoc, ~/control/shutdown.

use core::fmt;

use crate::error::XenError;
use crate::peer_events::PeerEvents;
use crate::xenstore::{Error, Transaction, Xenstore};

/// The node to be watched.
pub const PATH: &str = "control/shutdown";

/// What the toolstack wants, in its own words.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ShutdownRequest {
    text: [u8; TEXT_MAX],
    /// Of the text, of which less may be kept.
    length: usize,
}

const TEXT_MAX: usize = 32;

impl ShutdownRequest {
    /// To end.
    pub const POWER_OFF: Self = Self::of(b"poweroff");
    /// To end and start anew.
    pub const REBOOT: Self = Self::of(b"reboot");
    /// To end; the same as [`POWER_OFF`](Self::POWER_OFF), as a rule.
    pub const HALT: Self = Self::of(b"halt");
    /// To [stand still](crate::suspend::suspend).
    pub const SUSPEND: Self = Self::of(b"suspend");

    /// What the node's value says; nothing, if it is empty.
    pub fn parse(value: &[u8]) -> Option<Self> {
        (!value.is_empty()).then(|| Self::of(value))
    }

    /// Whether it is one of those above.
    pub fn is_known(&self) -> bool {
        [Self::POWER_OFF, Self::REBOOT, Self::HALT, Self::SUSPEND].contains(self)
    }

    /// The text, or its first 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length.min(TEXT_MAX)]
    }

    const fn of(value: &[u8]) -> Self {
        let mut text = [0; TEXT_MAX];
        let mut at = 0;
        while at < value.len() && at < TEXT_MAX {
            text[at] = value[at];
            at += 1;
        }
        ShutdownRequest {
            text,
            length: value.len(),
        }
    }
}

/// What the toolstack wants, if anything. If it [is known](ShutdownRequest::is_known), this tells the
/// toolstack that the kernel will do it, by an empty value of the node. Otherwise the node stays, and
/// the toolstack sees that nobody does it.
///
/// # Errors
///
/// Those of xenstore.
pub fn take(store: &mut Xenstore<'_, impl PeerEvents>) -> Result<Option<ShutdownRequest>, Error> {
    const ATTEMPTS: usize = 8;
    let again = Error::Refused(XenError::TRY_AGAIN);
    for _ in 0..ATTEMPTS {
        let transaction = store.start_transaction()?;
        match read_and_acknowledge(store, transaction) {
            Ok(Some(request)) if request.is_known() => match store.commit(transaction) {
                // The toolstack has changed its mind meanwhile.
                Err(error) if error == again => continue,
                committed => return committed.map(|()| Some(request)),
            },
            result => {
                let aborted = store.abort(transaction);
                let request = result?;
                return aborted.map(|()| request);
            }
        }
    }
    Err(again)
}

fn read_and_acknowledge(
    store: &mut Xenstore<'_, impl PeerEvents>,
    transaction: Transaction,
) -> Result<Option<ShutdownRequest>, Error> {
    let request = match store.read(transaction, PATH) {
        Err(Error::Refused(XenError::NOT_FOUND)) => None,
        value => ShutdownRequest::parse(value?),
    };
    if request.is_some_and(|request| request.is_known()) {
        store.write(transaction, PATH, b"")?;
    }
    Ok(request)
}

impl fmt::Debug for ShutdownRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ShutdownRequest({self})")
    }
}

impl fmt::Display for ShutdownRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(formatter)
    }
}
