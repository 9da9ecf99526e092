//! xenstore: the tree of small values by which domains and the toolstack find and tell each other
//! things. What shuts a domain down, how large it should be, and where its devices are is there.
//!
//! [`Xenstore`] is the kernel's end of the connection. [`xenstore_ring`](crate::xenstore_ring) gives its page
//! and port. It takes one request at a time; a kernel
//! keeps it behind a lock that a task may hold while it sleeps, and gives it memory and the event
//! channel:
//!
//! ```
//! # use pvops_backend_xen::{PeerEvents, xenstore::{Error, Transaction, Xenstore}};
//! # fn example(store: &mut Xenstore<'_, impl PeerEvents>) -> Result<(), Error> {
//! store.watch("control/shutdown", "shutdown")?;
//! let name = store.read(Transaction::NONE, "name")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when xenstored lies
//!
//! A content that makes no sense is an error of that request, and the connection goes on. A message
//! that can't be one, or that nobody waits for, means that the two sides do not agree where they are:
//! the connection is then [broken](Error::Broken), every request says so, and only
//! [`reconnect`](Xenstore::reconnect) helps. Nothing is waited for without end, if the kernel's
//! [`PeerEvents::wait`] is not.
//!
//! # When the kernel gives up
//!
//! Then the answer may come later; it is dropped when it does. A transaction that was started by such
//! a request stays open at xenstored. If a request could only be sent in part, the connection is
//! broken.
//!
//! # Watch events
//!
//! They stay in the ring while nobody asks, and then xenstored waits. Only those that stand before the
//! answer to a request are taken out, to a queue in memory that the kernel gives. What does not fit is
//! lost, and [`next_event`](Xenstore::next_event) says so: as every event only says "look again", the
//! kernel then looks at all it watches.
//!
//! Sources: Xen's docs/misc/xenstore.txt, docs/misc/xenstore-ring.txt, public/io/xs_wire.h.

mod connection;
mod error;
mod event_queue;
mod message;
mod page;
mod permission;
mod session;

use core::fmt;
use core::ptr::NonNull;

use crate::peer_events::PeerEvents;
use message::{MessageType, NUL, path, string, strings, text};
use session::Session;

pub use error::{Breach, Error};
pub use event_queue::WatchEvent;
pub use message::PAYLOAD_MAX;
pub use page::Page;
pub use permission::{Access, PERMISSIONS_MAX, Permission};

/// The kernel's end of a connection to xenstored.
pub struct Xenstore<'memory, E>(Session<'memory, E>);

/// What a transaction is called. It is the kernel's duty to [commit](Xenstore::commit) or
/// [abort](Xenstore::abort) it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "xenstored keeps a transaction open until it is committed or aborted"]
pub struct Transaction(u32);

impl Transaction {
    /// None: each request stands for itself.
    pub const NONE: Self = Transaction(0);
}

impl<E> fmt::Debug for Xenstore<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Xenstore").finish_non_exhaustive()
    }
}

impl<'memory, E: PeerEvents> Xenstore<'memory, E> {
    /// Takes the connection over. What others have left unread in it is dropped; the watches and
    /// requests that they had made remain, so [`reconnect`](Self::reconnect) after another kernel.
    ///
    /// `message` holds one message, `event_queue` events that nobody has asked for yet: a few
    /// kilobytes, and more than 4 KiB so that there is none which does not fit.
    ///
    /// # Errors
    ///
    /// [`Error::GaveUp`], if xenstored is not there yet and the kernel waits no longer.
    ///
    /// # Safety
    ///
    /// `page` is the connection's, aligned to 4, mapped readable and writable for `'memory`, and only
    /// accessed atomically meanwhile. No other [`Xenstore`] is on it. Its content need not be valid.
    pub unsafe fn new(
        page: NonNull<Page>,
        events: E,
        message: &'memory mut [u8; PAYLOAD_MAX],
        event_queue: &'memory mut [u8],
    ) -> Result<Self, Error> {
        // SAFETY: as the caller vouches.
        unsafe { Session::new(page, events, message, event_queue) }.map(Xenstore)
    }

    /// The value of a node. It is any bytes; most are text without a NUL.
    ///
    /// This and all requests may [wait](PeerEvents::wait).
    ///
    /// # Errors
    ///
    /// [`Error`] says which there are.
    pub fn read(&mut self, transaction: Transaction, node: &str) -> Result<&[u8], Error> {
        self.0
            .request(MessageType::READ, transaction, &[path(node)?, NUL])
    }

    /// Sets the value of a node, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn write(
        &mut self,
        transaction: Transaction,
        node: &str,
        value: &[u8],
    ) -> Result<(), Error> {
        self.0
            .request(MessageType::WRITE, transaction, &[path(node)?, NUL, value])?;
        Ok(())
    }

    /// The names of the nodes below a node.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). [`XenError::TOO_BIG`](crate::XenError::TOO_BIG) if they are longer
    /// than 4096 bytes together.
    pub fn directory(
        &mut self,
        transaction: Transaction,
        node: &str,
    ) -> Result<impl Iterator<Item = &str>, Error> {
        strings(
            self.0
                .request(MessageType::DIRECTORY, transaction, &[path(node)?, NUL])?,
        )
    }

    /// Makes a node without a value, unless it is there.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn make_directory(&mut self, transaction: Transaction, node: &str) -> Result<(), Error> {
        self.0
            .request(MessageType::MKDIR, transaction, &[path(node)?, NUL])?;
        Ok(())
    }

    /// Removes a node, if it is there, and all below it.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn remove(&mut self, transaction: Transaction, node: &str) -> Result<(), Error> {
        self.0
            .request(MessageType::RM, transaction, &[path(node)?, NUL])?;
        Ok(())
    }

    /// Who may read and write a node, its owner first.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn permissions(
        &mut self,
        transaction: Transaction,
        node: &str,
    ) -> Result<impl Iterator<Item = Permission>, Error> {
        permission::parse(self.0.request(
            MessageType::GET_PERMS,
            transaction,
            &[path(node)?, NUL],
        )?)
    }

    /// Says who may read and write a node, its owner first: at most [`PERMISSIONS_MAX`].
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). [`Error::BadArgument`] if they are more.
    pub fn set_permissions(
        &mut self,
        transaction: Transaction,
        node: &str,
        permissions: &[Permission],
    ) -> Result<(), Error> {
        let text = permission::Text::of(permissions).ok_or(Error::BadArgument)?;
        self.0.request(
            MessageType::SET_PERMS,
            transaction,
            &[path(node)?, NUL, text.as_bytes()],
        )?;
        Ok(())
    }

    /// Has xenstored tell of changes of a node and of all below it, by events with the token. The
    /// first event comes at once. The node need not be there.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn watch(&mut self, node: &str, token: &str) -> Result<(), Error> {
        self.request_watch(MessageType::WATCH, node, token)
    }

    /// Ends a watch. Events of it that are under way still come.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn unwatch(&mut self, node: &str, token: &str) -> Result<(), Error> {
        self.request_watch(MessageType::UNWATCH, node, token)
    }

    /// Starts a transaction: its requests see the tree as it is now, and change it when it is
    /// [committed](Self::commit).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn start_transaction(&mut self) -> Result<Transaction, Error> {
        let reply = self
            .0
            .request(MessageType::TRANSACTION_START, Transaction::NONE, &[NUL])?;
        match string(reply)?.parse() {
            Ok(number) if number != Transaction::NONE.0 => Ok(Transaction(number)),
            _ => Err(Error::Malformed),
        }
    }

    /// Ends a transaction, and does what was asked in it.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). [`XenError::TRY_AGAIN`](crate::XenError::TRY_AGAIN) if others
    /// have changed the same meanwhile: nothing was done; start anew.
    pub fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        self.0
            .request(MessageType::TRANSACTION_END, transaction, &[b"T\0"])?;
        Ok(())
    }

    /// Ends a transaction, and does nothing of what was asked in it.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn abort(&mut self, transaction: Transaction) -> Result<(), Error> {
        self.0
            .request(MessageType::TRANSACTION_END, transaction, &[b"F\0"])?;
        Ok(())
    }

    /// The oldest watch event that has come. Does not wait; ask until there is none.
    ///
    /// # Errors
    ///
    /// [`Error::EventsLost`] once after events were lost, and [`Error::Broken`].
    pub fn next_event(&mut self) -> Result<Option<WatchEvent<'_>>, Error> {
        self.0.poll_events()?;
        Ok(self.0.take_event())
    }

    /// The oldest watch event; [waits](PeerEvents::wait) for one.
    ///
    /// # Errors
    ///
    /// As for [`next_event`](Self::next_event), and [`Error::GaveUp`].
    pub fn wait_for_event(&mut self) -> Result<WatchEvent<'_>, Error> {
        while !self.0.poll_events()? {
            self.0.wait()?;
        }
        self.0.take_event().ok_or(Error::EventsLost)
    }

    /// Starts over: xenstored forgets the watches, transactions and requests of this kernel, and the
    /// queue is emptied. The only way out of [`Error::Broken`].
    ///
    /// # Errors
    ///
    /// [`Error::NoReconnection`]; [`Error::GaveUp`], and then the connection is broken.
    pub fn reconnect(&mut self) -> Result<(), Error> {
        self.0.reconnect()
    }

    /// Goes on after the domain has [moved](crate::suspend): by the page and port that
    /// [`xenstore_ring`](crate::xenstore_ring) gives now, to a xenstored that knows nothing of this
    /// connection. It sets these `watches` anew, of node and token each; the first event of each comes at
    /// once, so the kernel looks at what may have changed. Events of before are dropped. A transaction of
    /// before is not there any more: its requests fail with
    /// [`XenError::NOT_FOUND`](crate::XenError::NOT_FOUND). No request can be under way, as each borrows
    /// the connection: the kernel locks it, suspends, and calls this.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). If it is [`Error::GaveUp`] before the first watch is set, the connection
    /// is broken.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    pub unsafe fn resume<'watches>(
        &mut self,
        page: NonNull<Page>,
        events: E,
        watches: impl IntoIterator<Item = (&'watches str, &'watches str)>,
    ) -> Result<(), Error> {
        // SAFETY: as the caller vouches.
        unsafe { self.0.resume(page, events)? };
        watches
            .into_iter()
            .try_for_each(|(node, token)| self.watch(node, token))
    }

    fn request_watch(&mut self, kind: MessageType, node: &str, token: &str) -> Result<(), Error> {
        self.0.request(
            kind,
            Transaction::NONE,
            &[path(node)?, NUL, text(token)?, NUL],
        )?;
        Ok(())
    }
}
