//! The command line decides what the kernel does, and anyone may have written it: it can be empty,
//! endless, or not text at all.

use core::fmt;

use super::physical_memory::read_bytes;
use super::{BootInfoError, PhysicalMemory};

/// The longest command line that is kept, in bytes, without the NUL.
pub const MAX_LENGTH_BYTES: usize = 4096;

/// A command line: words between ASCII whitespace. Quotes have no meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLine<'m> {
    bytes: &'m [u8],
    truncated: bool,
}

impl<'m> CommandLine<'m> {
    /// The command line in `bytes`, up to the first NUL, or all of it if there is none.
    ///
    /// Of a longer one than [`MAX_LENGTH_BYTES`] the words that fit are kept, and
    /// [`is_truncated`](Self::is_truncated) tells. No word is kept in part.
    pub fn new(bytes: &'m [u8]) -> Self {
        let limit = bytes.len().min(MAX_LENGTH_BYTES + 1);
        let end = bytes[..limit].iter().position(|&byte| byte == 0);
        let length = end.unwrap_or(limit);
        if length <= MAX_LENGTH_BYTES {
            return Self {
                bytes: &bytes[..length],
                truncated: false,
            };
        }
        let last_space = bytes[..length].iter().rposition(u8::is_ascii_whitespace);
        Self {
            bytes: &bytes[..last_space.unwrap_or(0)],
            truncated: true,
        }
    }

    /// The bytes, without a NUL.
    pub fn as_bytes(self) -> &'m [u8] {
        self.bytes
    }

    /// Whether words were left out because the line is longer than [`MAX_LENGTH_BYTES`].
    pub fn is_truncated(self) -> bool {
        self.truncated
    }

    /// The words, none of them empty.
    pub fn words(self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        self.bytes
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
    }

    /// The value of the last word `name=value`, which may be empty. Words whose value is not UTF-8
    /// are passed over.
    pub fn value(self, name: &str) -> Option<&'m str> {
        self.words()
            .filter_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .filter_map(|value| core::str::from_utf8(value).ok())
            .last()
    }

    /// Whether the word `name` is there, by itself.
    pub fn flag(self, name: &str) -> bool {
        self.words().any(|word| word == name.as_bytes())
    }
}

/// Prints the line, with U+FFFD for what is not UTF-8.
impl fmt::Display for CommandLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                write!(f, "{}", char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// The NUL-terminated line at `address`; none if that is null. The end of memory ends it too.
pub(super) fn read<'m, M: PhysicalMemory + ?Sized>(
    memory: &'m M,
    address: u64,
    what: &'static str,
) -> Result<CommandLine<'m>, BootInfoError> {
    if address == 0 {
        return Ok(CommandLine::default());
    }
    read_bytes(memory, address, 1, what)?;
    let length = (0..=MAX_LENGTH_BYTES)
        .take_while(|&index| {
            let byte = read_bytes(memory, address.saturating_add(index as u64), 1, what);
            byte.is_ok_and(|byte| byte != [0])
        })
        .count();
    Ok(CommandLine::new(read_bytes(memory, address, length, what)?))
}
