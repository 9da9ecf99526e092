//! A boot of Xen as it goes: lines of dom0 are the kernel's, and Xen knows of ends that QEMU does
//! not show.

use std::io::{self, Write};
use std::ops::ControlFlow;

use super::console::{Console, Speaker};
use super::log::Log;
use crate::lines::Line;
use crate::render::printable;
use crate::screen::Screen;
use crate::transcript::End;

/// One boot of Xen.
#[derive(Default)]
pub(crate) struct Xen {
    console: Console,
    log: Log,
}

impl Xen {
    /// Takes a line from the serial port. Shows dom0's, and from the first sign of trouble on also
    /// Xen's; breaks off where Xen says that it can't go on.
    pub(crate) fn line(
        &mut self,
        line: &Line,
        screen: &mut Screen<'_>,
    ) -> io::Result<ControlFlow<String>> {
        match self.console.take(line) {
            None => Ok(ControlFlow::Continue(())),
            Some((speaker, line)) => self.said(speaker, &line, screen),
        }
    }

    /// How the boot ended by all that is known; `end` is QEMU's. Shows what was not finished.
    pub(crate) fn end(&mut self, end: End, screen: &mut Screen<'_>) -> io::Result<End> {
        for (speaker, line) in self.console.rest() {
            let _ = self.said(speaker, &line, screen)?;
        }
        // Other statuses are the kernel's own.
        Ok(match (&end, self.log.reason()) {
            (End::Exit(Some(0)) | End::Ended(_), Some(reason)) => {
                End::Ended(format!("Xen: {reason}"))
            }
            _ => end,
        })
    }

    /// Shows Xen's last lines unless they were shown.
    pub(crate) fn explain(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.log.reason().is_some() {
            return Ok(());
        }
        writeln!(out, "Xen's last lines:")?;
        for line in self.log.recent() {
            writeln!(out, "| {}", printable(line))?;
        }
        Ok(())
    }

    fn said(
        &mut self,
        speaker: Speaker,
        line: &Line,
        screen: &mut Screen<'_>,
    ) -> io::Result<ControlFlow<String>> {
        if let Speaker::Domain(_) = speaker {
            screen.line(line)?;
            return Ok(ControlFlow::Continue(()));
        }
        let text = String::from_utf8_lossy(&line.bytes);
        let next = self.log.note(&text);
        if self.log.reason().is_some() {
            screen.text(&printable(&format!("(XEN) {text}")))?;
        }
        Ok(next)
    }
}
