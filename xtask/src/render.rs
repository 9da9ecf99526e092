//! Serial lines as a person wants to read them.

use serde_json::{Map, Value};

use crate::lines::Line;
use crate::protocol::{Boot, Event, Status};
use crate::transcript::Content;

/// The text to show for `line`, whose content is known; can have several lines.
pub(crate) fn text(line: &Line, content: &Content) -> String {
    let text = match content {
        Content::Text => String::from_utf8_lossy(&line.bytes).into_owned(),
        Content::Event(event) => event_text(event),
        Content::Fault(fault) => {
            let start = &line.bytes[..line.bytes.len().min(200)];
            format!("  ???? {fault}: {}", String::from_utf8_lossy(start))
        }
    };
    printable(&text)
}

/// Replaces what could move the cursor or change the colours of a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            _ if character.is_control() => '\u{fffd}',
            _ => character,
        })
        .collect()
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Boot(boot) => boot_text(boot),
        Event::Check(check) => {
            let status = match check.status {
                Status::Pass => "ok  ",
                Status::Fail => "FAIL",
                Status::Skip => "skip",
            };
            match check.detail.as_str() {
                "" => format!("  {status} {}", check.name),
                detail => format!("  {status} {} ({detail})", check.name),
            }
        }
        Event::Measure(name, fields) => format!("  measured {name}:{}", fields_text(fields)),
        Event::Result(result) => format!(
            "  result: {}, {} checks, {} failed, {} skipped",
            if result.pass { "pass" } else { "FAIL" },
            result.checks,
            result.failed,
            result.skipped
        ),
        Event::Other(event, fields) => format!("  {event}:{}", fields_text(fields)),
    }
}

fn boot_text(boot: &Boot) -> String {
    let mut text = format!("  booted by {}, backend {}", boot.protocol, boot.backend);
    for interface in &boot.interfaces {
        text += &format!(
            "\n  interface {} at {:#x}, last leaf {:#x}",
            interface.signature, interface.base, interface.max_leaf
        );
    }
    let sites = boot.sites;
    text += &format!(
        "\n  {} call sites: {} inline, {} call, {} nop, {} trap",
        sites.total, sites.inline, sites.call, sites.nop, sites.trap
    );
    if let Some((khz, source)) = &boot.tsc {
        text += &format!("\n  TSC {khz} kHz, from {source}");
    }
    text
}

fn fields_text(fields: &Map<String, Value>) -> String {
    fields
        .iter()
        .map(|(key, value)| match value {
            Value::String(string) => format!(" {key}={string}"),
            value => format!(" {key}={value}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    fn shown(bytes: &[u8]) -> String {
        let line = Line {
            bytes: bytes.to_vec(),
            overlong: false,
        };
        let content = Transcript::default().note(&line);
        text(&line, &content)
    }

    #[test]
    fn machine_lines_are_shown_in_words() {
        assert_eq!(
            shown(br#"@{"event":"check","name":"irq.flags","status":"pass","detail":"IF"}"#),
            "  ok   irq.flags (IF)"
        );
        assert_eq!(
            shown(br#"@{"event":"check","name":"irq.flags","status":"fail"}"#),
            "  FAIL irq.flags"
        );
        assert_eq!(
            shown(br#"@{"event":"measure","name":"cli","unit":"instructions","value":1}"#),
            "  measured cli: unit=instructions value=1"
        );
        assert_eq!(
            shown(br#"@{"event":"result","pass":false,"checks":4,"failed":1,"skipped":0}"#),
            "  result: FAIL, 4 checks, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn a_guest_cannot_command_the_terminal() {
        assert_eq!(
            shown(b"\x1b[2Jhi\x07\tthere\xff"),
            "\u{fffd}[2Jhi\u{fffd}\tthere\u{fffd}"
        );
        let escaped = br#"@{"event":"check","name":"\u001b[1m","status":"pass"}"#;
        assert_eq!(shown(escaped), "  ok   \u{fffd}[1m");
    }

    #[test]
    fn a_bad_machine_line_is_shown_with_its_fault() {
        let text = shown(b"@{\"event\":");
        assert!(text.starts_with("  ???? malformed machine line: it is not JSON"));
        assert!(text.ends_with(": @{\"event\":"));
    }
}
