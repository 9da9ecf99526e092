//! The kernel's machine lines: `@` and one JSON object.
//!
//! A guest can send anything, so every field that is used is checked here once.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use crate::bench::benchmark::Benchmark;
use crate::sites::Relocation;

/// One machine line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Boot(Boot),
    Check(Check),
    /// A measurement: its name, and its other fields as they came.
    Measure(String, Map<String, Value>),
    /// What a piece of work costs.
    Bench(Benchmark),
    Result(Summary),
    /// The kernel waits for the host to stop it.
    ReadyToStop,
    /// The kernel is well and hands the machine to another, whose result counts.
    HandOver,
    /// KVM's counters of the virtual machine that the kernel ran in, by name.
    KvmCounters(BTreeMap<String, u64>),
    /// How long each CPU has waited for the host to run it, as the kernel knows, in nanoseconds.
    StolenTime(BTreeMap<String, u64>),
    /// The same at about the same time, as the host's scheduler knows.
    HostAccount(BTreeMap<String, u64>),
    /// What the kernel knows after that.
    StolenTimeAfter(BTreeMap<String, u64>),
    /// The exit status of the QEMU in the appliance.
    GuestEnd(i32),
    /// The appliance creates this domain.
    DomainStart(String),
    /// How the domain created last has ended: `poweroff`, or another word.
    DomainEnd(String),
    /// Why the appliance could not run the kernel to its end.
    ApplianceFailed(String),
    /// What is at the call site at that address after patching.
    Site(u64, Vec<u8>),
    /// What the VMI ROM has said of a call.
    Relocation(Relocation),
    /// A line of a recording.
    Traffic(String),
    /// An event this program does not know.
    Other(String, Map<String, Value>),
}

/// What the kernel found and patched at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) protocol: String,
    pub(crate) backend: String,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) sites: SiteCounts,
    /// Frequency in kHz and who told it; a kernel without a TSC has none.
    pub(crate) tsc: Option<(u64, String)>,
}

/// A hypervisor interface in CPUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) signature: String,
    pub(crate) base: u64,
    pub(crate) max_leaf: u64,
}

/// Call sites by what patching made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SiteCounts {
    pub(crate) total: u64,
    pub(crate) inline: u64,
    pub(crate) call: u64,
    pub(crate) jump: u64,
    pub(crate) nop: u64,
    pub(crate) trap: u64,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) detail: String,
    /// How long it took, in ticks of the time-stamp counter; 0 if it was skipped.
    pub(crate) ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pass,
    Fail,
    Skip,
}

/// The kernel's own verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) pass: bool,
    pub(crate) checks: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Reads a machine line, without its `@`.
///
/// # Errors
/// It is not UTF-8, not one JSON object, or a known event lacks a field.
pub(crate) fn parse(line: &[u8]) -> anyhow::Result<Event> {
    let text = str::from_utf8(line).context("it is not UTF-8")?;
    let Value::Object(mut fields) = serde_json::from_str(text).context("it is not JSON")? else {
        bail!("it is not a JSON object");
    };
    let event = string(&fields, "event")?;
    Ok(match event.as_str() {
        "boot" => Event::Boot(boot(&fields)?),
        "check" => Event::Check(check(&fields)?),
        "result" => Event::Result(summary(&fields)?),
        "ready_to_stop" => Event::ReadyToStop,
        "kvm_counters" => Event::KvmCounters(counters(&mut fields)?),
        "stolen_time" => Event::StolenTime(counters(&mut fields)?),
        "stolen_time_after" => Event::StolenTimeAfter(counters(&mut fields)?),
        "host_account" => Event::HostAccount(counters(&mut fields)?),
        "hand_over" => Event::HandOver,
        "guest_end" => {
            let status = i32::try_from(number(&fields, "status")?);
            Event::GuestEnd(status.context("\"status\" is no exit status")?)
        }
        "domain_start" => Event::DomainStart(string(&fields, "domain")?),
        "domain_end" => Event::DomainEnd(string(&fields, "end")?),
        "appliance_failed" => Event::ApplianceFailed(string(&fields, "reason")?),
        "site" => Event::Site(number(&fields, "address")?, bytes(&fields, "bytes")?),
        "relocation" => Event::Relocation(Relocation {
            call: string(&fields, "call")?,
            kind: string(&fields, "kind")?,
            address: number(&fields, "address")?,
        }),
        "traffic" => Event::Traffic(string(&fields, "line")?),
        "bench" => Event::Bench(Benchmark::parse(&fields)?),
        "measure" => {
            let name = string(&fields, "name")?;
            fields.retain(|key, _| key != "event" && key != "name");
            Event::Measure(name, fields)
        }
        _ => {
            fields.remove("event");
            Event::Other(event, fields)
        }
    })
}

fn boot(fields: &Map<String, Value>) -> anyhow::Result<Boot> {
    let interfaces = match fields.get("interfaces") {
        Some(Value::Array(list)) => list.iter().map(interface).collect::<anyhow::Result<_>>()?,
        _ => bail!("\"interfaces\" is not a list"),
    };
    let Some(Value::Object(sites)) = fields.get("sites") else {
        bail!("\"sites\" is not an object");
    };
    let tsc = match fields.get("tsc_khz") {
        None | Some(Value::Null) => None,
        Some(_) => Some((number(fields, "tsc_khz")?, string(fields, "tsc_source")?)),
    };
    Ok(Boot {
        protocol: string(fields, "protocol")?,
        backend: string(fields, "backend")?,
        interfaces,
        sites: SiteCounts {
            total: number(sites, "total")?,
            inline: number(sites, "inline")?,
            call: number(sites, "call")?,
            jump: number(sites, "jump")?,
            nop: number(sites, "nop")?,
            trap: number(sites, "trap")?,
        },
        tsc,
    })
}

fn interface(value: &Value) -> anyhow::Result<Interface> {
    let fields = value.as_object().context("an interface is not an object")?;
    Ok(Interface {
        signature: string(fields, "signature")?,
        base: number(fields, "base")?,
        max_leaf: number(fields, "max_leaf")?,
    })
}

fn check(fields: &Map<String, Value>) -> anyhow::Result<Check> {
    let status = match string(fields, "status")?.as_str() {
        "pass" => Status::Pass,
        "fail" => Status::Fail,
        "skip" => Status::Skip,
        other => bail!("unknown status {other:?}"),
    };
    Ok(Check {
        name: string(fields, "name")?,
        status,
        detail: match fields.contains_key("detail") {
            true => string(fields, "detail")?,
            false => String::new(),
        },
        ticks: match fields.contains_key("ticks") {
            true => number(fields, "ticks")?,
            false => 0,
        },
    })
}

fn summary(fields: &Map<String, Value>) -> anyhow::Result<Summary> {
    Ok(Summary {
        pass: fields
            .get("pass")
            .and_then(Value::as_bool)
            .context("\"pass\" is not true or false")?,
        checks: number(fields, "checks")?,
        failed: number(fields, "failed")?,
        skipped: number(fields, "skipped")?,
    })
}

/// All fields but the event's name.
fn counters(fields: &mut Map<String, Value>) -> anyhow::Result<BTreeMap<String, u64>> {
    fields.remove("event");
    let names = fields.keys();
    let counters = names.map(|name| Ok((name.clone(), number(fields, name)?)));
    counters.collect()
}

fn string(fields: &Map<String, Value>, key: &str) -> anyhow::Result<String> {
    let value = fields.get(key).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("{key:?} is not a string"))?
        .to_string())
}

/// Two hexadecimal digits for each.
fn bytes(fields: &Map<String, Value>, key: &str) -> anyhow::Result<Vec<u8>> {
    let text = string(fields, key)?;
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits)?, 16).map_err(Into::into);
    let bytes: anyhow::Result<_> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.with_context(|| format!("{key:?} is not bytes in hexadecimal"))
}

fn number(fields: &Map<String, Value>, key: &str) -> anyhow::Result<u64> {
    let value = fields.get(key).and_then(Value::as_u64);
    value.with_context(|| format!("{key:?} is not a number from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_read() {
        let boot = parse(
            br#"{"event":"boot","protocol":"pvh v1","backend":"native","interfaces":[
            {"signature":"TCGTCGTCGTCG","base":1073741824,"max_leaf":1073741825}],
            "sites":{"total":120,"inline":80,"call":30,"jump":2,"nop":5,"trap":1},
            "tsc_khz":2600000,"tsc_source":"pit"}"#,
        )
        .unwrap();
        let expected = Boot {
            protocol: "pvh v1".into(),
            backend: "native".into(),
            interfaces: vec![Interface {
                signature: "TCGTCGTCGTCG".into(),
                base: 0x4000_0000,
                max_leaf: 0x4000_0001,
            }],
            sites: SiteCounts {
                total: 120,
                inline: 80,
                call: 30,
                jump: 2,
                nop: 5,
                trap: 1,
            },
            tsc: Some((2_600_000, "pit".into())),
        };
        assert_eq!(boot, Event::Boot(expected));
        assert_eq!(
            parse(br#"{"event":"check","name":"irq.flags","status":"skip"}"#).unwrap(),
            Event::Check(Check {
                name: "irq.flags".into(),
                status: Status::Skip,
                detail: String::new(),
                ticks: 0,
            })
        );
        assert_eq!(
            parse(br#"{"event":"result","pass":true,"checks":3,"failed":0,"skipped":1}"#).unwrap(),
            Event::Result(Summary {
                pass: true,
                checks: 3,
                failed: 0,
                skipped: 1
            })
        );
        assert_eq!(
            parse(br#"{"event":"ready_to_stop"}"#).unwrap(),
            Event::ReadyToStop
        );
        assert_eq!(parse(br#"{"event":"hand_over"}"#).unwrap(), Event::HandOver);
        assert_eq!(
            parse(br#"{"event":"kvm_counters","exits":30000,"halt_exits":22}"#).unwrap(),
            Event::KvmCounters(BTreeMap::from([
                ("exits".into(), 30_000),
                ("halt_exits".into(), 22)
            ]))
        );
        assert_eq!(
            parse(br#"{"event":"stolen_time","0":7}"#).unwrap(),
            Event::StolenTime(BTreeMap::from([("0".into(), 7)]))
        );
        assert_eq!(
            parse(br#"{"event":"host_account","0":8}"#).unwrap(),
            Event::HostAccount(BTreeMap::from([("0".into(), 8)]))
        );
        assert_eq!(
            parse(br#"{"event":"stolen_time_after","0":9}"#).unwrap(),
            Event::StolenTimeAfter(BTreeMap::from([("0".into(), 9)]))
        );
        assert_eq!(
            parse(br#"{"event":"guest_end","status":33}"#).unwrap(),
            Event::GuestEnd(33)
        );
        assert_eq!(
            parse(br#"{"event":"domain_start","domain":"pv"}"#).unwrap(),
            Event::DomainStart("pv".into())
        );
        assert_eq!(
            parse(br#"{"event":"domain_end","domain":"pv","end":"crash"}"#).unwrap(),
            Event::DomainEnd("crash".into())
        );
        assert_eq!(
            parse(br#"{"event":"appliance_failed","reason":"no"}"#).unwrap(),
            Event::ApplianceFailed("no".into())
        );
        let measure = parse(br#"{"event":"measure","name":"cli","instructions":1}"#).unwrap();
        assert!(matches!(measure, Event::Measure(name, fields)
            if name == "cli" && fields.len() == 1 && fields["instructions"] == 1));
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (line, reason) in [
            (&b"{\"event\":\"result\",\"pass\":tr"[..], "it is not JSON"),
            (b"", "it is not JSON"),
            (b"{} {}", "it is not JSON"),
            (b"\xff{}", "it is not UTF-8"),
            (b"[1]", "it is not a JSON object"),
            (b"{}", "\"event\" is not a string"),
            (
                br#"{"event":"check","name":"a","status":"good"}"#,
                "unknown status \"good\"",
            ),
            (
                br#"{"event":"check","name":7,"status":"pass"}"#,
                "\"name\" is not a string",
            ),
            (
                br#"{"event":"result","pass":1,"checks":1,"failed":0,"skipped":0}"#,
                "\"pass\" is not true or false",
            ),
            (
                br#"{"event":"result","pass":true,"checks":-1,"failed":0,"skipped":0}"#,
                "\"checks\" is not a number from 0",
            ),
            (
                br#"{"event":"kvm_counters","exits":"many"}"#,
                "\"exits\" is not a number from 0",
            ),
            (
                br#"{"event":"guest_end","status":4294967329}"#,
                "\"status\" is no exit status",
            ),
            (
                br#"{"event":"boot","interfaces":[3]}"#,
                "an interface is not an object",
            ),
        ] {
            let error = parse(line).expect_err("must be refused");
            let text = format!("{error:#}");
            assert!(text.starts_with(reason), "{text} for {line:?}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let line = [b"{\"event\":".to_vec(), vec![b'['; 60_000]].concat();
        assert!(parse(&line).is_err());
    }
}
