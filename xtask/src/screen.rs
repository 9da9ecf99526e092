//! A guest's lines as they come: noted, annotated and shown.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::annotate::Annotator;
use crate::lines::Line;
use crate::render;
use crate::transcript::{Content, Transcript};

/// So many lines can be shown again.
const TAIL_LENGTH: usize = 10;

/// Shows the lines of one boot, and keeps what they report.
pub(crate) struct Screen<'a> {
    pub(crate) transcript: Transcript,
    /// The lines shown last, the newest first.
    tail: VecDeque<String>,
    annotator: &'a Annotator,
    out: &'a mut dyn Write,
}

impl<'a> Screen<'a> {
    pub(crate) fn new(annotator: &'a Annotator, out: &'a mut dyn Write) -> Self {
        Self {
            transcript: Transcript::default(),
            tail: VecDeque::new(),
            annotator,
            out,
        }
    }

    /// Takes note of a line of the kernel, shows it, and says what it is.
    pub(crate) fn line(&mut self, line: &Line) -> io::Result<Content> {
        let content = self.transcript.note(line);
        if let Some(text) = render::text(line, &content) {
            self.text(&text)?;
        }
        Ok(content)
    }

    /// Shows text.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        let text = self.annotator.annotate(text);
        writeln!(self.out, "{text}")?;
        for line in text.lines() {
            self.tail.truncate(TAIL_LENGTH - 1);
            self.tail.push_front(line.to_string());
        }
        Ok(())
    }

    /// The lines shown last, in their order.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().rev().cloned().collect()
    }
}
