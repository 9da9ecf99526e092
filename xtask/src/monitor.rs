//! QEMU's monitor: its QMP, one JSON object a line, over a socket.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::lines::read_line;

/// A conversation with QEMU, each answer of which must come in time.
pub(crate) struct Monitor {
    reader: BufReader<Bounded>,
    patience: Duration,
    /// Names of the events that came with answers, and for which nobody has waited yet.
    events: Vec<String>,
}

impl Monitor {
    /// Takes QEMU's greeting and answers it. No answer may take longer than `patience`.
    pub(crate) fn open(stream: UnixStream, patience: Duration) -> anyhow::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(patience))?;
        let deadline = Instant::now() + patience;
        let mut monitor = Self {
            reader: BufReader::new(Bounded { stream, deadline }),
            patience,
            events: Vec::new(),
        };
        let greeting = monitor.message().context("QEMU's greeting")?;
        if !greeting.contains_key("QMP") {
            bail!("this is no greeting of QMP's: {}", Value::Object(greeting));
        }
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Has QEMU execute a command; its answer is what it returns.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        self.answer(command, arguments)
            .with_context(|| format!("QEMU's monitor: {command}"))
    }

    /// Has QEMU execute a command that is made for people, and tells nothing unless it fails.
    pub(crate) fn execute_line(&mut self, line: &str) -> anyhow::Result<()> {
        let arguments = json!({ "command-line": line });
        let answer = self.execute("human-monitor-command", arguments)?;
        match answer.as_str() {
            Some("") => Ok(()),
            _ => bail!("QEMU's monitor: {line}: {answer}"),
        }
    }

    /// Waits for an event, or takes one that came before.
    pub(crate) fn wait_for(&mut self, event: &str) -> anyhow::Result<()> {
        self.reader.get_mut().deadline = Instant::now() + self.patience;
        loop {
            if let Some(position) = self.events.iter().position(|name| name == event) {
                self.events.remove(position);
                return Ok(());
            }
            let message = self.message();
            let message = message.with_context(|| format!("QEMU's monitor: event {event}"))?;
            self.note_event(&message);
        }
    }

    /// Asks by `command` until the answer is this status.
    pub(crate) fn wait_for_status(&mut self, command: &str, status: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.patience;
        loop {
            let answer = self.execute(command, json!({}))?;
            if answer["status"] == status {
                return Ok(());
            }
            if answer["status"] == "failed" || Instant::now() >= deadline {
                bail!("QEMU's monitor: {command}: {answer}, not {status}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn answer(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let bounded = self.reader.get_mut();
        bounded.deadline = Instant::now() + self.patience;
        let message = json!({ "execute": command, "arguments": arguments });
        bounded
            .stream
            .write_all(format!("{message}\n").as_bytes())?;
        loop {
            let mut message = self.message()?;
            if let Some(value) = message.remove("return") {
                return Ok(value);
            }
            if let Some(error) = message.get("error") {
                bail!("{}", error["desc"].as_str().unwrap_or("an error"));
            }
            self.note_event(&message);
        }
    }

    fn note_event(&mut self, message: &Map<String, Value>) {
        if let Some(name) = message.get("event").and_then(Value::as_str) {
            self.events.push(name.to_string());
        }
    }

    fn message(&mut self) -> anyhow::Result<Map<String, Value>> {
        let line = read_line(&mut self.reader)?.context("QEMU has closed its monitor")?;
        match serde_json::from_slice(&line.bytes) {
            Ok(Value::Object(message)) => Ok(message),
            _ => bail!(
                "this is no message of QMP's: {}",
                String::from_utf8_lossy(&line.bytes)
            ),
        }
    }
}

/// A stream whose reads fail from a deadline on, however often a byte comes.
struct Bounded {
    stream: UnixStream,
    deadline: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        }
        self.stream.set_read_timeout(Some(remaining))?;
        self.stream
            .read(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => {
                    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
                }
                _ => error,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    const LONG: Duration = Duration::from_secs(60);
    const GREETING: &str = r#"{"QMP":{"version":{},"capabilities":[]}}"#;
    const DONE: &str = r#"{"return":{}}"#;

    /// Talks with a peer that says its first line at once and each other one after a command; it
    /// gives the commands.
    fn with_peer<R>(
        lines: &'static [&'static str],
        patience: Duration,
        talk: impl FnOnce(anyhow::Result<Monitor>) -> R,
    ) -> (R, Vec<Value>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let peer = thread::spawn(move || {
            let mut commands = Vec::new();
            let mut reader = BufReader::new(theirs.try_clone().unwrap());
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    let mut command = String::new();
                    if reader.read_line(&mut command).unwrap_or(0) == 0 {
                        break;
                    }
                    commands.push(serde_json::from_str(&command).unwrap());
                }
                if !line.is_empty() && writeln!(theirs, "{line}").is_err() {
                    break;
                }
            }
            // Closes at the next command, or when the other side has gone.
            if !lines.is_empty() {
                let _ = reader.read_line(&mut String::new());
            }
            commands
        });
        let result = talk(Monitor::open(ours, patience));
        (result, peer.join().unwrap())
    }

    #[test]
    fn commands_are_sent_and_answers_read_past_events() {
        let lines = &[
            GREETING,
            DONE,
            "{\"event\":\"STOP\"}\r\n{\"return\":{\"status\":\"paused\"}}",
            r#"{"return":""}"#,
        ];
        let (answer, commands) = with_peer(lines, LONG, |monitor| {
            let mut monitor = monitor.unwrap();
            let answer = monitor.execute("query-status", json!({})).unwrap();
            monitor.execute_line("savevm a").unwrap();
            monitor.wait_for("STOP").unwrap();
            answer
        });
        assert_eq!(answer, json!({ "status": "paused" }));
        assert_eq!(
            commands,
            [
                json!({ "execute": "qmp_capabilities", "arguments": {} }),
                json!({ "execute": "query-status", "arguments": {} }),
                json!({ "execute": "human-monitor-command",
                        "arguments": { "command-line": "savevm a" } }),
            ]
        );
    }

    #[test]
    fn an_event_is_waited_for() {
        let lines = &[GREETING, DONE, "{\"return\":{}}\n{\"event\":\"RESET\"}"];
        with_peer(lines, LONG, |monitor| {
            let mut monitor = monitor.unwrap();
            monitor.execute("system_reset", json!({})).unwrap();
            monitor.wait_for("RESET").unwrap();
        });
    }

    #[test]
    fn a_status_is_waited_for() {
        let lines = &[
            GREETING,
            DONE,
            r#"{"return":{"status":"active"}}"#,
            r#"{"return":{"status":"completed"}}"#,
            r#"{"return":{"status":"failed"}}"#,
        ];
        with_peer(lines, LONG, |monitor| {
            let mut monitor = monitor.unwrap();
            let mut wait = || monitor.wait_for_status("query-migrate", "completed");
            wait().unwrap();
            let error = wait().unwrap_err().to_string();
            let wanted = r#"QEMU's monitor: query-migrate: {"status":"failed"}, not completed"#;
            assert_eq!(error, wanted);
        });
    }

    /// The error of a conversation that says `lines`, then executes a line.
    fn error(lines: &'static [&'static str], patience: Duration) -> String {
        let (error, _) = with_peer(lines, patience, |monitor| {
            let result = monitor.and_then(|mut monitor| monitor.execute_line("savevm a"));
            format!("{:#}", result.expect_err("must be refused"))
        });
        error
    }

    #[test]
    fn what_goes_wrong_is_said() {
        for (lines, wanted) in [
            (&[][..], "QEMU's greeting: QEMU has closed its monitor"),
            (
                &["hello"],
                "QEMU's greeting: this is no message of QMP's: hello",
            ),
            (&["{}"], "this is no greeting of QMP's: {}"),
            (
                &[GREETING, DONE],
                "QEMU's monitor: human-monitor-command: QEMU has closed its monitor",
            ),
            (
                &[GREETING, DONE, r#"{"error":{"desc":"no such command"}}"#],
                "QEMU's monitor: human-monitor-command: no such command",
            ),
            (
                &[GREETING, DONE, r#"{"return":"Error: no disk\r\n"}"#],
                "QEMU's monitor: savevm a: \"Error: no disk\\r\\n\"",
            ),
        ] {
            assert_eq!(error(lines, LONG), wanted);
        }
    }

    #[test]
    fn a_silent_peer_is_not_waited_for() {
        let short = Duration::from_millis(50);
        let greeting = "QEMU's greeting: no answer in time";
        assert_eq!(error(&[""], short), greeting);
        with_peer(&[GREETING, DONE, ""], LONG, |monitor| {
            let mut monitor = monitor.unwrap();
            monitor.patience = short;
            let error = monitor.execute_line("savevm a").unwrap_err();
            let wanted = "QEMU's monitor: human-monitor-command: no answer in time";
            assert_eq!(format!("{error:#}"), wanted);
        });
    }
}
