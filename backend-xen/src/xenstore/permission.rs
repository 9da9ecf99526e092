//! Who may read and write a node. Xen's docs/misc/xenstore.txt, GET_PERMS.

use core::fmt;

use super::Error;
use super::message::strings;
use crate::domain::DomainId;

/// What one domain may do with a node. The first of a node's names its owner, who may do all, and what
/// domains may do that are not named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission {
    /// What it may do.
    pub access: Access,
    /// Which domain.
    pub domain: DomainId,
}

/// What may be done with a node: the letter that xenstored has for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access(pub u8);

impl Access {
    /// Nothing.
    pub const NONE: Self = Access(b'n');
    /// Reading.
    pub const READ: Self = Access(b'r');
    /// Writing.
    pub const WRITE: Self = Access(b'w');
    /// Reading and writing.
    pub const BOTH: Self = Access(b'b');
}

/// How many permissions can be set at once. xenstored itself allows five, if it is not told otherwise.
pub const PERMISSIONS_MAX: usize = 16;

/// The permissions in a payload, all of which make sense.
pub(super) fn parse(payload: &[u8]) -> Result<impl Iterator<Item = Permission> + '_, Error> {
    let permissions = strings(payload)?.map(Permission::parse);
    if payload.is_empty() || permissions.clone().any(|permission| permission.is_none()) {
        return Err(Error::Malformed);
    }
    Ok(permissions.flatten())
}

impl Permission {
    fn parse(text: &str) -> Option<Self> {
        let (&access, _) = text.as_bytes().split_first()?;
        Some(Permission {
            access: Access(access),
            domain: DomainId(text.get(1..)?.parse().ok()?),
        })
    }
}

/// A letter, five digits, and NUL.
const LENGTH_MAX: usize = 7;

/// Permissions as a request has them.
pub(super) struct Text {
    bytes: [u8; PERMISSIONS_MAX * LENGTH_MAX],
    length: usize,
}

impl Text {
    /// `None` if they are too many.
    pub(super) fn of(permissions: &[Permission]) -> Option<Self> {
        let mut text = Text {
            bytes: [0; PERMISSIONS_MAX * LENGTH_MAX],
            length: 0,
        };
        for Permission { access, domain } in permissions {
            let letter = char::from(access.0);
            fmt::Write::write_fmt(&mut text, format_args!("{letter}{domain}\0")).ok()?;
        }
        Some(text)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.bytes[self.length..].get_mut(..text.len());
        free.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
