//! Why a request of xenstore came to nothing.

use core::fmt;

use super::message::string;
use crate::error::XenError;
use crate::peer_events::GaveUp;

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// What xenstored answers: [`XenError::NOT_FOUND`], [`XenError::ACCESS_DENIED`], ... and
    /// [`XenError::TRY_AGAIN`] to a commit that others came before.
    Refused(XenError),
    /// xenstored refuses with the name of an error that we do not know.
    RefusedForUnknownReason,
    /// A path is empty, too long or holds a NUL; a token holds a NUL; the request is longer than 4096
    /// bytes. Nothing was sent.
    BadArgument,
    /// The answer is not what the protocol says. The connection goes on.
    Malformed,
    /// Watch events came faster than they were taken, or one made no sense. Look at everything you
    /// watch again.
    EventsLost,
    /// The kernel [waits no longer](crate::PeerEvents::wait). The connection goes on; xenstored
    /// may yet do what it was asked.
    GaveUp,
    /// The connection is out of step, and every request answers this until
    /// [`reconnect`](super::Xenstore::reconnect).
    Broken(Breach),
    /// xenstored offers no reconnection.
    NoReconnection,
}

/// How a connection came out of step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Breach {
    /// An index of the other side makes no sense.
    BadIndex,
    /// A message says that it is longer than any can be.
    TooLong,
    /// A message that answers no request, or of another type than the request.
    UnexpectedMessage,
    /// Watch events without end, and no answer.
    Flood,
    /// The kernel gave up in the middle of a request, or of a reconnection.
    CutShort,
    /// xenstored has ended the connection; its reason, XENSTORE_ERROR_ of public/io/xs_wire.h.
    EndedByServer(u32),
}

impl Error {
    /// What the payload of an error message says.
    pub(super) fn of_reply(payload: &[u8]) -> Self {
        match string(payload).map(known) {
            Ok(Some(error)) => Error::Refused(error),
            Ok(None) => Error::RefusedForUnknownReason,
            Err(error) => error,
        }
    }
}

/// `xsd_errors` in public/io/xs_wire.h.
fn known(name: &str) -> Option<XenError> {
    Some(match name {
        "EINVAL" => XenError::INVALID,
        "EACCES" => XenError::ACCESS_DENIED,
        "EEXIST" => XenError::EXISTS,
        "EISDIR" => XenError::IS_A_DIRECTORY,
        "ENOENT" => XenError::NOT_FOUND,
        "ENOMEM" => XenError::OUT_OF_MEMORY,
        "ENOSPC" => XenError::NO_SPACE,
        "EIO" => XenError::INPUT_OUTPUT,
        "ENOTEMPTY" => XenError::NOT_EMPTY,
        "ENOSYS" => XenError::NO_SUCH_CALL,
        "EROFS" => XenError::READ_ONLY,
        "EBUSY" => XenError::BUSY,
        "EAGAIN" => XenError::TRY_AGAIN,
        "EISCONN" => XenError::IS_CONNECTED,
        "E2BIG" => XenError::TOO_BIG,
        "EPERM" => XenError::NOT_PERMITTED,
        _ => return None,
    })
}

impl From<GaveUp> for Error {
    fn from(_: GaveUp) -> Self {
        Error::GaveUp
    }
}

impl From<Breach> for Error {
    fn from(breach: Breach) -> Self {
        Error::Broken(breach)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Error::Refused(error) => return error.fmt(formatter),
            Error::RefusedForUnknownReason => "xenstored refuses for a reason that is not known",
            Error::BadArgument => "a path, a token or a value can't be sent to xenstored",
            Error::Malformed => "xenstored answers what makes no sense",
            Error::EventsLost => "watch events were lost",
            Error::GaveUp => return GaveUp.fmt(formatter),
            Error::Broken(breach) => return breach.fmt(formatter),
            Error::NoReconnection => "xenstored offers no reconnection",
        })
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Breach::BadIndex => "xenstored's index in a ring makes no sense",
            Breach::TooLong => "a message of xenstored is too long",
            Breach::UnexpectedMessage => "a message of xenstored answers nothing",
            Breach::Flood => "xenstored sends events and no answer",
            Breach::CutShort => "a request of xenstored was cut short",
            Breach::EndedByServer(reason) => {
                return write!(formatter, "xenstored ended the connection: {reason}");
            }
        })
    }
}

impl core::error::Error for Breach {}
