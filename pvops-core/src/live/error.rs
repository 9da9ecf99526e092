//! Why sites were not changed.

use core::fmt;

use crate::arch::encode::MAX_SITE;
use crate::op::OpNumber;
use crate::patch::PatchError;

/// Why a transaction did nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LiveError {
    /// Another transaction is under way.
    Busy,
    /// No backend is installed, so there is nothing to change.
    NotInstalled,
    /// An op occurs twice in the changes.
    Repeated {
        /// The op.
        op: OpNumber,
    },
    /// A site can't hold the new content, or (`NotWritten`) did not take it.
    Patch(PatchError),
    /// A site does not hold what the op's binding made of it: it is damaged, or was never patched.
    NotAsBound {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
        /// What is there, in the first `length` bytes.
        bytes: [u8; MAX_SITE],
        /// The site's length.
        length: usize,
    },
    /// The old content or the new is a template of several instructions, or not known to be of one:
    /// a CPU may be in the middle of it.
    SeveralInstructions {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
    },
    /// The first instruction would end elsewhere, or what is behind it change, where a CPU may come
    /// back to.
    ReturnInside {
        /// Address of the site.
        site: usize,
        /// The op of its record.
        op: OpNumber,
        /// Where a CPU may come back to.
        offset: usize,
    },
}

impl fmt::Display for LiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            LiveError::Busy => formatter.write_str("call sites are being changed already"),
            LiveError::NotInstalled => formatter.write_str("no backend is installed"),
            LiveError::Repeated { op } => write!(formatter, "two changes for {op}"),
            LiveError::Patch(error) => error.fmt(formatter),
            LiveError::NotAsBound {
                site,
                op,
                ref bytes,
                length,
            } => {
                let bytes = &bytes[..length];
                write!(
                    formatter,
                    "call site {site:#x} of {op} holds {bytes:02x?}, not what it is bound to"
                )
            }
            LiveError::SeveralInstructions { site, op } => write!(
                formatter,
                "call site {site:#x} of {op} is or becomes several instructions"
            ),
            LiveError::ReturnInside { site, op, offset } => write!(
                formatter,
                "call site {site:#x} of {op} would change at offset {offset}, \
                 where a CPU may come back to"
            ),
        }
    }
}

impl core::error::Error for LiveError {}
