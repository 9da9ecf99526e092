//! The lines of the recording. They are printed at the end, as the console may be the host's to answer for.

use core::fmt::{self, Write};

use spin::Mutex;

use crate::console::report;

/// Adds a line, unless they are being printed: that may be hypercalls, too. One CPU runs.
pub(super) fn note(line: fmt::Arguments<'_>) {
    let Some(mut lines) = LINES.try_lock() else {
        return;
    };
    if writeln!(lines, "{line}").is_err() {
        panic!("the recording is too long");
    }
}

/// Prints all lines.
pub(super) fn print() {
    let lines = LINES.lock();
    let text = str::from_utf8(&lines.bytes[..lines.length]).unwrap_or_default();
    for line in text.lines() {
        report!("\"event\":\"traffic\",\"line\":\"{line}\"");
    }
}

struct Lines {
    bytes: [u8; 32 * 1024],
    length: usize,
}

static LINES: Mutex<Lines> = Mutex::new(Lines {
    bytes: [0; 32 * 1024],
    length: 0,
});

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
