//! The name of an interface comes from the host, so it is printed with care.

use core::fmt::{self, Write};

/// The 12 bytes that name a hypervisor interface, padded with NULs at the end.
///
/// `Display` leaves trailing NULs out and escapes what is not printable ASCII, as `\xNN`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signature([u8; 12]);

impl Signature {
    /// The signature of these bytes: `Signature::new(*b"Example\0\0\0\0\0")`.
    pub const fn new(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The signature in the registers of an interface's base leaf, in the order of the bytes.
    pub const fn from_registers(ebx: u32, ecx: u32, edx: u32) -> Self {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) =
            (ebx.to_le_bytes(), ecx.to_le_bytes(), edx.to_le_bytes());
        Self([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// All 12 bytes.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// Whether this can be a name: 5 to 12 printable ASCII characters, then NULs only.
    ///
    /// Names in use have at least 8. Four characters fill one register, and that can be a number.
    pub fn is_text(&self) -> bool {
        let text = self.trimmed();
        text.len() > size_of::<u32>() && text.iter().copied().all(is_printable)
    }

    fn trimmed(&self) -> &[u8] {
        let end = self.0.iter().rposition(|&byte| byte != 0);
        &self.0[..end.map_or(0, |last| last + 1)]
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.trimmed() {
            if is_printable(byte) {
                f.write_char(byte.into())?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}
