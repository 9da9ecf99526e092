//! Why boot information could not be read, in enough detail to tell whose fault it is.

use core::fmt;

/// A fault in the boot information. `Display` gives one clear line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootInfoError {
    /// The protocol's magic number is not there.
    BadMagic {
        /// What is there.
        found: u32,
        /// What the protocol demands.
        expected: u32,
    },
    /// Something that the loader points to is not in readable memory.
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Its physical address.
        address: u64,
    },
    /// The Multiboot2 information does not start on an 8-byte boundary.
    Misaligned {
        /// Its physical address.
        address: u64,
    },
    /// The Multiboot2 information is too small to hold a tag, or larger than 1 MiB.
    BadTotalSize {
        /// The size it claims, in bytes.
        size_bytes: u32,
    },
    /// A Multiboot2 tag does not fit into the information, or its content does not fit into it.
    BadTag {
        /// The tag's type.
        kind: u32,
        /// Its distance in bytes from the start of the information.
        offset: usize,
    },
    /// An entry of a Multiboot memory map is smaller than it must be, or does not fit into the map.
    BadMapEntry {
        /// Its distance in bytes from the start of the map.
        offset: u32,
    },
    /// The Multiboot2 information stops without an end tag.
    MissingEndTag,
    /// A module's end is before its start or beyond the address space.
    BadModule {
        /// Where in the loader's list it is.
        index: u32,
    },
    /// More memory map entries than any machine has.
    TooManyRegions {
        /// The number claimed.
        count: u64,
    },
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic { found, expected } => {
                write!(f, "boot magic is {found:#010x}, not {expected:#010x}")
            }
            Self::Unreadable { what, address } => {
                write!(f, "{what} at {address:#x} is not in readable memory")
            }
            Self::Misaligned { address } => {
                write!(f, "boot information at {address:#x} is not 8-byte aligned")
            }
            Self::BadTotalSize { size_bytes } => {
                write!(f, "boot information claims a size of {size_bytes} bytes")
            }
            Self::BadTag { kind, offset } => {
                write!(f, "boot tag of type {kind} at offset {offset} is malformed")
            }
            Self::BadMapEntry { offset } => {
                write!(f, "memory map entry at offset {offset} is malformed")
            }
            Self::MissingEndTag => f.write_str("boot information has no end tag"),
            Self::BadModule { index } => write!(f, "boot module {index} has no valid extent"),
            Self::TooManyRegions { count } => {
                write!(f, "memory map claims {count} entries")
            }
        }
    }
}

impl core::error::Error for BootInfoError {}
