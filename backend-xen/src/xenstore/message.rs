//! Messages of xenstore. Xen's public/io/xs_wire.h and docs/misc/xenstore.txt.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Error;

/// XENSTORE_PAYLOAD_MAX, in bytes: what follows a header is never longer.
pub const PAYLOAD_MAX: usize = 4096;
/// XENSTORE_ABS_PATH_MAX, in bytes.
const ABSOLUTE_PATH_MAX: usize = 3072;
/// XENSTORE_REL_PATH_MAX, in bytes.
const RELATIVE_PATH_MAX: usize = 2048;

pub(super) const NUL: &[u8] = &[0];
pub(super) const HEADER_SIZE: usize = size_of::<Header>();

/// `struct xsd_sockmsg`.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) kind: MessageType,
    /// The request's, again in its reply.
    pub(super) request: u32,
    pub(super) transaction: u32,
    /// Of the payload that follows, in bytes.
    pub(super) length: u32,
}

const _: () = {
    assert!(HEADER_SIZE == 16);
    assert!(offset_of!(Header, kind) == 0);
    assert!(offset_of!(Header, request) == 4);
    assert!(offset_of!(Header, transaction) == 8);
    assert!(offset_of!(Header, length) == 12);
};

/// `enum xsd_sockmsg_type`, XS_ and the name.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(transparent)]
pub(super) struct MessageType(u32);

impl MessageType {
    pub(super) const DIRECTORY: Self = MessageType(1);
    pub(super) const READ: Self = MessageType(2);
    pub(super) const GET_PERMS: Self = MessageType(3);
    pub(super) const WATCH: Self = MessageType(4);
    pub(super) const UNWATCH: Self = MessageType(5);
    pub(super) const TRANSACTION_START: Self = MessageType(6);
    pub(super) const TRANSACTION_END: Self = MessageType(7);
    pub(super) const WRITE: Self = MessageType(11);
    pub(super) const MKDIR: Self = MessageType(12);
    pub(super) const RM: Self = MessageType(13);
    pub(super) const SET_PERMS: Self = MessageType(14);
    pub(super) const WATCH_EVENT: Self = MessageType(15);
    pub(super) const ERROR: Self = MessageType(16);
}

/// A path as a request has it, without its NUL. xenstored itself judges the letters.
pub(super) fn path(path: &str) -> Result<&[u8], Error> {
    let limit = if path.starts_with('/') {
        ABSOLUTE_PATH_MAX
    } else {
        RELATIVE_PATH_MAX
    };
    if path.is_empty() || path.len() > limit {
        return Err(Error::BadArgument);
    }
    text(path)
}

/// What may stand before a NUL.
pub(super) fn text(text: &str) -> Result<&[u8], Error> {
    if text.as_bytes().contains(&0) {
        return Err(Error::BadArgument);
    }
    Ok(text.as_bytes())
}

/// The strings of a payload, each of which ends with a NUL.
pub(super) fn strings(payload: &[u8]) -> Result<core::str::SplitTerminator<'_, char>, Error> {
    if payload.last().is_some_and(|&last| last != 0) {
        return Err(Error::Malformed);
    }
    let text = core::str::from_utf8(payload).map_err(|_| Error::Malformed)?;
    Ok(text.split_terminator('\0'))
}

/// The one string of a payload.
pub(super) fn string(payload: &[u8]) -> Result<&str, Error> {
    let mut strings = strings(payload)?;
    match (strings.next(), strings.next()) {
        (Some(string), None) => Ok(string),
        _ => Err(Error::Malformed),
    }
}
