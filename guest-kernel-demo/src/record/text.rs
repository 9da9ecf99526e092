//! The lines of the recording. They are printed at the end, as the console may be the host's to answer for.

use core::fmt::{self, Write};
use core::mem::ManuallyDrop;

use spin::Mutex;

use crate::console::report;

/// Adds a line. One CPU runs.
pub(super) fn note(line: fmt::Arguments<'_>) {
    let Some(mut lines) = LINES.try_lock() else {
        return;
    };
    if writeln!(lines, "{line}").is_err() {
        panic!("the recording is too long");
    }
}

/// Prints all lines. From then on none is added, as printing can be hypercalls, too.
pub(super) fn print() {
    let lines = ManuallyDrop::new(LINES.lock());
    let text = str::from_utf8(&lines.bytes[..lines.length]).unwrap_or_default();
    for line in text.lines() {
        report!("\"event\":\"traffic\",\"line\":\"{line}\"");
    }
}

/// Whether it was printed.
pub(super) fn is_printed() -> bool {
    LINES.is_locked()
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
