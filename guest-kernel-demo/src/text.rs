//! A line of text without an allocator.

use core::fmt;

use crate::console::Json;

/// Up to 112 bytes of text; what is longer is cut.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; 112],
    length: usize,
}

impl Text {
    /// Formats a text.
    pub(crate) fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Text {
            bytes: [0; 112],
            length: 0,
        };
        // A text that is cut is still a text.
        let _ = fmt::Write::write_fmt(&mut text, arguments);
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Json(self.as_bytes()).fmt(formatter)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = &mut self.bytes[self.length..];
        let count = text.len().min(free.len());
        free[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

/// A [`Text`] from a format.
macro_rules! text {
    ($($argument:tt)*) => { $crate::text::Text::new(format_args!($($argument)*)) };
}

/// Returns from a check with a failure unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($argument:tt)*) => {
        if !$condition {
            return Err($crate::text::text!($($argument)*));
        }
    };
}

pub(crate) use {ensure, text};
