//! Serial lines as a person wants to read them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::lines::Line;
use crate::protocol::{Event, Status};
use crate::transcript::Content;

/// The text to show for `line`, whose content is known; `None` for what the kernel says in
/// words of its own.
pub(crate) fn text(line: &Line, content: &Content) -> Option<String> {
    let text = match content {
        Content::Text => String::from_utf8_lossy(&line.bytes).into_owned(),
        Content::Event(event) => event_text(event)?,
        Content::Fault(fault) => {
            let start = &line.bytes[..line.bytes.len().min(200)];
            format!("  ???? {fault}: {}", String::from_utf8_lossy(start))
        }
    };
    Some(printable(&text))
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

fn event_text(event: &Event) -> Option<String> {
    Some(match event {
        Event::Boot(_) | Event::Site(..) | Event::Relocation(_) => return None,
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
        Event::Traffic(line) => format!("  {line}"),
        Event::Measure(name, fields) => measure_text(name, fields),
        Event::Bench(benchmark) => {
            let key = &benchmark.key;
            let (rounds, each) = (benchmark.rounds, benchmark.each());
            format!(
                "  {} {} {} {}: {each:.1} ({rounds} rounds)",
                key.group, key.name, key.way, key.size
            )
        }
        Event::Result(result) => format!(
            "  result: {}, {} checks, {} failed, {} skipped",
            if result.pass { "pass" } else { "FAIL" },
            result.checks,
            result.failed,
            result.skipped
        ),
        Event::ReadyToStop => "  the kernel is ready to be stopped".into(),
        Event::HandOver => "  the kernel hands the machine to another".into(),
        Event::KvmCounters(counters) => format!("  KVM counted:{}", counters_text(counters)),
        Event::StolenTime(of) => format!("  stolen, says the kernel: {of:?} ns"),
        Event::StolenTimeAfter(of) => format!("  stolen by now, says the kernel: {of:?} ns"),
        Event::HostAccount(of) => format!("  stolen, says the host:   {of:?} ns"),
        Event::GuestEnd(status) => format!("  QEMU in the appliance ended with status {status}"),
        Event::DomainStart(name) => format!("-- domain {name}"),
        Event::DomainEnd(end) => format!("  the domain's end: {end}"),
        Event::ApplianceFailed(reason) => format!("  FAIL appliance: {reason}"),
        Event::Other(event, fields) => format!("  {event}:{}", fields_text(fields)),
    })
}

/// One line for each measurement that the kernel is known to make; others with their fields
/// as they came.
fn measure_text(name: &str, fields: &Map<String, Value>) -> String {
    let number = |key| fields.get(key).and_then(Value::as_u64);
    if let (Some(raw), Some(patched), Some(unpatched), Some(rounds)) = (
        number("raw"),
        number("patched"),
        number("unpatched"),
        number("rounds"),
    ) {
        return format!(
            "  {name}: raw {raw}, patched {patched}, unpatched {unpatched} ({rounds} rounds)"
        );
    }
    match (name, number("cost"), number("sites")) {
        ("patch", Some(cost), Some(sites @ 1..)) => {
            format!("  patching {sites} sites: {cost}, {} each", cost / sites)
        }
        ("entry_to_first_check", Some(cost), None) => {
            format!("  entry to first check: {cost} TSC ticks")
        }
        (_, Some(cost), None) if let Some(rounds @ 1..) = number("rounds") => {
            format!("  {name}: {} TSC ticks ({rounds} rounds)", cost / rounds)
        }
        _ => format!("  measured {name}:{}", fields_text(fields)),
    }
}

/// All counters of exits, and what else tells of paravirtual paths taken.
fn counters_text(counters: &BTreeMap<String, u64>) -> String {
    counters
        .iter()
        .filter(|(name, _)| name.ends_with("exits") || *name == "hypercalls")
        .map(|(name, count)| format!(" {name}={count}"))
        .collect()
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

    fn rendered(bytes: &[u8]) -> Option<String> {
        let line = Line {
            bytes: bytes.to_vec(),
            overlong: false,
        };
        let content = Transcript::default().note(&line);
        text(&line, &content)
    }

    fn shown(bytes: &[u8]) -> String {
        rendered(bytes).unwrap()
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
            shown(br#"@{"event":"kvm_counters","exits":9,"halt_exits":2,"hypercalls":1,"pf_fixed":4}"#),
            "  KVM counted: exits=9 halt_exits=2 hypercalls=1"
        );
        assert_eq!(
            shown(br#"@{"event":"appliance_failed","reason":"no /dev/kvm"}"#),
            "  FAIL appliance: no /dev/kvm"
        );
        assert_eq!(
            shown(br#"@{"event":"result","pass":false,"checks":4,"failed":1,"skipped":0}"#),
            "  result: FAIL, 4 checks, 1 failed, 0 skipped"
        );
    }

    #[test]
    fn measurements_are_one_line_each() {
        assert_eq!(
            shown(br#"@{"event":"measure","name":"irq.disable","rounds":1000,"raw":3006,"patched":3006,"unpatched":5006,"difference":0}"#),
            "  irq.disable: raw 3006, patched 3006, unpatched 5006 (1000 rounds)"
        );
        assert_eq!(
            shown(br#"@{"event":"measure","name":"patch","sites":100,"cost":74045}"#),
            "  patching 100 sites: 74045, 740 each"
        );
        assert_eq!(
            shown(br#"@{"event":"measure","name":"patch","sites":0,"cost":1}"#),
            "  measured patch: cost=1 sites=0"
        );
        assert_eq!(
            shown(br#"@{"event":"measure","name":"entry_to_first_check","cost":2845300}"#),
            "  entry to first check: 2845300 TSC ticks"
        );
        assert_eq!(
            shown(br#"@{"event":"measure","name":"syscall","rounds":1000,"cost":90006}"#),
            "  syscall: 90 TSC ticks (1000 rounds)"
        );
    }

    #[test]
    fn what_was_found_at_boot_is_not_said_twice() {
        let boot = br#"@{"event":"boot","protocol":"pvh v1","backend":"native","interfaces":[],"sites":{"total":1,"inline":1,"call":0,"jump":0,"nop":0,"trap":0}}"#;
        assert_eq!(rendered(boot), None);
        assert!(shown(br#"@{"event":"boot"}"#).contains("malformed machine line"));
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
