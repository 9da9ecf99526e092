//! The serial port that Xen shares with its domains: who says which line.
//!
//! - Xen begins each of its lines with `(XEN) `, also in the middle of a line of dom0.
//! - What domain N writes to port 0xe9 comes by lines that begin with `(dN) `, in pieces of
//!   [`PIECE`] bytes if it is longer (Xen's `hvm_print_line`).
//! - Dom0's hypercall console_io puts its bytes there as they are. An appliance passes on what domain
//!   N said elsewhere, by lines that begin with `[dN] `.

use std::collections::BTreeMap;

use crate::lines::{Line, MAX_LINE_LENGTH};

/// Xen's `DOMAIN_PBUF_SIZE` is 200, with the zero at the end. A line of just this length is followed
/// by an empty piece.
const PIECE: usize = 199;

/// Who says a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaker {
    Xen,
    Domain(u16),
}

/// How the words of a line got to the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Log,
    DebugPort(u16),
    Raw,
}

/// The port, with the lines that have not come to their end.
#[derive(Default)]
pub(crate) struct Console {
    unfinished: BTreeMap<Way, Line>,
}

impl Console {
    /// Takes what came in one line, and gives what was finished by it: one line or none.
    pub(crate) fn take(&mut self, line: &Line) -> Option<(Speaker, Line)> {
        let (start, way, text) = parse(&line.bytes);
        if start > 0 {
            self.append(Way::Raw, &line.bytes[..start], false);
        }
        self.append(way, &line.bytes[text..], line.overlong);
        match way {
            Way::DebugPort(_) if line.bytes.len() - text == PIECE => None,
            _ => self.finish(way),
        }
    }

    /// What has not come to its end yet.
    pub(crate) fn rest(&mut self) -> Vec<(Speaker, Line)> {
        let ways: Vec<_> = self.unfinished.keys().copied().collect();
        ways.into_iter()
            .filter_map(|way| self.finish(way))
            .collect()
    }

    fn append(&mut self, way: Way, bytes: &[u8], overlong: bool) {
        let line = self.unfinished.entry(way).or_insert(Line {
            bytes: Vec::new(),
            overlong: false,
        });
        let room = MAX_LINE_LENGTH - line.bytes.len();
        line.overlong |= overlong || bytes.len() > room;
        line.bytes.extend(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self, way: Way) -> Option<(Speaker, Line)> {
        let mut line = self.unfinished.remove(&way)?;
        let speaker = match way {
            Way::Log => Speaker::Xen,
            Way::DebugPort(domain) => Speaker::Domain(domain),
            Way::Raw => match passed_on(&line.bytes) {
                Some((domain, text)) => {
                    line.bytes.drain(..text);
                    Speaker::Domain(domain)
                }
                None => Speaker::Domain(0),
            },
        };
        Some((speaker, line))
    }
}

/// Where the line of who says it begins, who that is, and where the text begins.
fn parse(line: &[u8]) -> (usize, Way, usize) {
    (0..line.len())
        .filter(|&start| line[start] == b'(')
        .find_map(|start| {
            let (way, length) = mark(&line[start..])?;
            Some((start, way, start + length))
        })
        .unwrap_or((0, Way::Raw, 0))
}

/// Reads `(XEN) ` or `(dN) `.
fn mark(text: &[u8]) -> Option<(Way, usize)> {
    let end = text.iter().take(MAX_MARK).position(|&byte| byte == b')')?;
    let way = match &text[1..end] {
        b"XEN" => Way::Log,
        [b'd', number @ ..] => Way::DebugPort(str::from_utf8(number).ok()?.parse().ok()?),
        _ => return None,
    };
    // A line of Xen's may be empty, and lose its space on the way.
    let space = usize::from(text.get(end + 1) == Some(&b' '));
    Some((way, end + 1 + space))
}

const MAX_MARK: usize = "(d65535)".len();

/// Reads `[dN] `: the domain, and where the text begins.
fn passed_on(line: &[u8]) -> Option<(u16, usize)> {
    let number = line.strip_prefix(b"[d")?;
    let end = number
        .iter()
        .take(MAX_MARK)
        .position(|&byte| byte == b']')?;
    let domain = str::from_utf8(&number[..end]).ok()?.parse().ok()?;
    let text = number[end..]
        .starts_with(b"] ")
        .then_some(end + "[d] ".len())?;
    Some((domain, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[&str]) -> Vec<(Speaker, String)> {
        let mut console = Console::default();
        let mut lines = Vec::new();
        for text in input {
            lines.extend(console.take(&Line {
                bytes: text.as_bytes().to_vec(),
                overlong: false,
            }));
        }
        lines.extend(console.rest());
        let text = |line: Line| String::from_utf8(line.bytes).unwrap();
        let lines = lines.into_iter();
        lines.map(|(speaker, line)| (speaker, text(line))).collect()
    }

    fn said(speaker: Speaker, text: &str) -> (Speaker, String) {
        (speaker, text.into())
    }

    #[test]
    fn each_line_has_its_speaker() {
        assert_eq!(
            lines(&[
                "(XEN) Bootloader: qemu",
                "(XEN) ",
                "(d0) @{}",
                "(d12) (indented)",
                "plain",
                "",
                "[d7] passed on",
                "[d7]no"
            ]),
            [
                said(Speaker::Xen, "Bootloader: qemu"),
                said(Speaker::Xen, ""),
                said(Speaker::Domain(0), "@{}"),
                said(Speaker::Domain(12), "(indented)"),
                said(Speaker::Domain(0), "plain"),
                said(Speaker::Domain(0), ""),
                said(Speaker::Domain(7), "passed on"),
                said(Speaker::Domain(0), "[d7]no"),
            ]
        );
    }

    #[test]
    fn xen_may_interrupt_dom0() {
        assert_eq!(
            lines(&["one", "tw(XEN) hello", "(d3) three", "o", "fo(XEN) bye"]),
            [
                said(Speaker::Domain(0), "one"),
                said(Speaker::Xen, "hello"),
                said(Speaker::Domain(3), "three"),
                said(Speaker::Domain(0), "two"),
                said(Speaker::Xen, "bye"),
                said(Speaker::Domain(0), "fo"),
            ]
        );
    }

    #[test]
    fn pieces_of_a_long_line_are_joined_by_domain() {
        let piece = |letter: &str, domain| format!("(d{domain}) {}", letter.repeat(PIECE));
        assert_eq!(
            lines(&[
                &piece("a", 1),
                &piece("b", 2),
                "(XEN) between",
                "(d1) end",
                "(d2) ",
                "(d2) new"
            ]),
            [
                said(Speaker::Xen, "between"),
                said(Speaker::Domain(1), &format!("{}end", "a".repeat(PIECE))),
                said(Speaker::Domain(2), &"b".repeat(PIECE)),
                said(Speaker::Domain(2), "new"),
            ]
        );
    }

    #[test]
    fn what_looks_like_a_mark_is_text() {
        for text in ["call(d) ", "(dx) ", "(d65536) ", "(XEN", "f(1) (a)", "("] {
            assert_eq!(lines(&[text]), [said(Speaker::Domain(0), text)], "{text}");
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut console = Console::default();
        let piece = Line {
            bytes: [b"(d1) ", &[b'x'; PIECE][..]].concat(),
            overlong: false,
        };
        for _ in 0..=MAX_LINE_LENGTH / PIECE {
            assert_eq!(console.take(&piece), None);
        }
        let (speaker, line) = console.rest().pop().unwrap();
        assert_eq!(speaker, Speaker::Domain(1));
        assert!(line.overlong);
        assert_eq!(line.bytes.len(), MAX_LINE_LENGTH);
    }
}
