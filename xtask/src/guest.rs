//! A running QEMU: its serial lines, its end, and its end by force.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::lines::{self, Line};
use crate::progress::{PATIENCE, Spinner};
use crate::render::printable;
use crate::transcript::{End, Transcript};

/// A guest that writes more than this is ended.
const MAX_SERIAL_BYTES: usize = 16 * 1024 * 1024;
/// Of QEMU's own messages so many lines are kept.
const MAX_DIAGNOSTICS: usize = 60;
/// After it was said that the guest cannot go on: time for the rest, such as QEMU's register dump.
const CRASH_DUMP_TIME: Duration = Duration::from_millis(500);

/// The kernel in one machine, or as one domain, at its end.
pub(crate) struct Guest {
    pub(crate) transcript: Transcript,
    pub(crate) end: End,
    pub(crate) duration: Duration,
}

/// How a boot went, apart from its serial lines.
pub(crate) struct Run {
    pub(crate) end: End,
    /// What QEMU itself said, by lines.
    pub(crate) diagnostics: Vec<String>,
    pub(crate) duration: Duration,
}

/// Runs `command` until it ends or `timeout` is over, and gives each serial line to
/// `on_line` as it comes, which may break off with the reason: little that follows is taken then.
/// The process is gone when this returns, also with an error, and ends with the thread that calls this,
/// also by a signal.
pub(crate) fn run(
    command: &mut Command,
    timeout: Duration,
    on_line: &mut dyn FnMut(&Line) -> io::Result<ControlFlow<String>>,
) -> anyhow::Result<Run> {
    let start = Instant::now();
    let (mut process, messages) = spawn(command)?;
    let mut watch = Watch {
        deadline: start + timeout,
        reason: format!("hung: no end after {} s", timeout.as_secs()),
        serial_bytes: 0,
        diagnostics: Vec::new(),
        on_line,
    };
    let end = match watch.until_closed(&messages)? {
        Closed::ByGuest => watch.exit(&mut process)?,
        Closed::Deadline => End::Ended(watch.reason.clone()),
    };
    process.end();
    watch.drain(&messages)?;
    Ok(Run {
        end,
        diagnostics: watch.diagnostics,
        duration: start.elapsed(),
    })
}

enum Message {
    Serial(Line),
    Diagnostic(Line),
}

enum Closed {
    /// QEMU closed its outputs.
    ByGuest,
    Deadline,
}

struct Watch<'a> {
    deadline: Instant,
    /// Why QEMU is ended when the deadline comes.
    reason: String,
    serial_bytes: usize,
    diagnostics: Vec<String>,
    on_line: &'a mut dyn FnMut(&Line) -> io::Result<ControlFlow<String>>,
}

impl Watch<'_> {
    fn until_closed(&mut self, messages: &Receiver<Message>) -> io::Result<Closed> {
        let mut spinner = None;
        loop {
            let remaining = self.deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Ok(Closed::Deadline);
            }
            match messages.recv_timeout(remaining.min(PATIENCE)) {
                Ok(message) => {
                    drop(spinner.take());
                    self.take(message)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(Closed::ByGuest),
                Err(RecvTimeoutError::Timeout) if io::stderr().is_terminal() => {
                    spinner.get_or_insert_with(|| Spinner::start("the guest is silent"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn take(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Serial(line) => {
                self.serial_bytes += line.bytes.len() + 1;
                if self.serial_bytes > MAX_SERIAL_BYTES {
                    self.end_within(Duration::ZERO, "more than 16 MiB of serial output".into());
                }
                if let ControlFlow::Break(reason) = (self.on_line)(&line)? {
                    self.end_within(CRASH_DUMP_TIME, reason);
                }
            }
            Message::Diagnostic(line) => {
                let text = printable(&String::from_utf8_lossy(&line.bytes));
                // QEMU stops the virtual machine then, but does not end.
                if text.starts_with("KVM internal error") || text.contains("kvm run failed") {
                    self.end_within(CRASH_DUMP_TIME, format!("the virtual CPU stopped: {text}"));
                }
                if self.diagnostics.len() < MAX_DIAGNOSTICS {
                    self.diagnostics.push(text);
                }
            }
        }
        Ok(())
    }

    fn end_within(&mut self, time: Duration, reason: String) {
        let deadline = Instant::now() + time;
        if deadline < self.deadline {
            self.deadline = deadline;
            self.reason = reason;
        }
    }

    /// Waits for the end of a process that has closed its outputs.
    fn exit(&self, process: &mut Process) -> io::Result<End> {
        loop {
            if let Some(status) = process.0.try_wait()? {
                return Ok(End::Exit(status.code()));
            }
            if Instant::now() >= self.deadline {
                return Ok(End::Ended(self.reason.clone()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Takes what was left when the process was ended, such as a line without an end.
    fn drain(&mut self, messages: &Receiver<Message>) -> io::Result<()> {
        let deadline = Instant::now() + CRASH_DUMP_TIME;
        while let Some(remaining) = deadline.checked_duration_since(Instant::now()) {
            match messages.recv_timeout(remaining) {
                Ok(message) => self.take(message)?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// A child process that does not outlive this value.
struct Process(Child);

impl Process {
    fn end(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<(Process, Receiver<Message>)> {
    let mut child = ending_with_this_thread(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| command.get_program().display().to_string())?;
    let serial = child.stdout.take();
    let diagnostics = child.stderr.take();
    let process = Process(child);
    // Bounded, so that a guest cannot fill memory faster than its lines are shown.
    let (sender, receiver) = sync_channel(64);
    if let Some(serial) = serial {
        forward(serial, sender.clone(), Message::Serial);
    }
    if let Some(diagnostics) = diagnostics {
        forward(diagnostics, sender, Message::Diagnostic);
    }
    Ok((process, receiver))
}

/// Has the system kill the process that `command` starts when the thread that starts it is gone: a
/// killed xtask leaves no guest that runs for ever.
fn ending_with_this_thread(command: &mut Command) -> &mut Command {
    let this = std::process::id();
    let prepare = move || {
        // SAFETY: it takes a signal's number, and nothing of this process's memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // No signal comes for an end before that.
        match parent_id() == this {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: between fork and exec it makes two system calls, and neither locks nor allocates.
    unsafe { command.pre_exec(prepare) }
}

/// Sends lines until the pipe closes or nobody listens.
fn forward(
    pipe: impl Read + Send + 'static,
    sender: SyncSender<Message>,
    kind: fn(Line) -> Message,
) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        while let Some(line) = next_line(&mut reader) {
            if sender.send(kind(line)).is_err() {
                break;
            }
        }
    });
}

fn next_line(reader: &mut impl BufRead) -> Option<Line> {
    lines::read_line(reader).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str, timeout: Duration) -> (Run, Vec<String>) {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let run = run(&mut command, timeout, &mut |line| {
            let line = String::from_utf8_lossy(&line.bytes).into_owned();
            let crashed = line.starts_with("crash");
            lines.push(line);
            Ok(match crashed {
                true => ControlFlow::Break("it crashed".into()),
                false => ControlFlow::Continue(()),
            })
        });
        (run.unwrap(), lines)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_diagnostics_and_status_arrive() {
        let (run, lines) = shell("echo one; echo two; echo why >&2; exit 33", LONG);
        assert_eq!(run.end, End::Exit(Some(33)));
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(run.diagnostics, ["why"]);
    }

    #[test]
    fn a_hang_is_ended_and_its_unfinished_line_kept() {
        let hang = |seconds| {
            let timeout = Duration::from_secs(seconds);
            let (run, lines) = shell("printf 'one\ntw'; exec sleep 600", timeout);
            let reason = format!("hung: no end after {seconds} s");
            assert_eq!(run.end, End::Ended(reason));
            assert!(run.duration < LONG);
            lines
        };
        // A busy machine may take long until the first line.
        let mut lines = [1, 5, 30].into_iter().map(hang);
        let lines = lines.find(|lines| !lines.is_empty());
        assert_eq!(lines.unwrap_or_default(), ["one", "tw"]);
    }

    #[test]
    fn a_process_that_closes_its_outputs_and_stays_is_ended() {
        let script = "exec >&- 2>&-; exec sleep 600";
        let (run, _) = shell(script, Duration::from_secs(1));
        assert_eq!(run.end, End::Ended("hung: no end after 1 s".into()));
    }

    #[test]
    fn endless_output_is_ended() {
        let (run, lines) = shell("exec yes 0123456789abcdef0123456789abcdef", LONG);
        assert_eq!(
            run.end,
            End::Ended("more than 16 MiB of serial output".into())
        );
        assert!(lines.len() < MAX_SERIAL_BYTES / 16);
    }

    #[test]
    fn a_stopped_virtual_cpu_is_not_waited_for() {
        // Both lines at once: little time is left after the first.
        let script = "printf 'KVM internal error. Suberror: 1\nRIP=1\n' >&2; exec sleep 600";
        let (run, _) = shell(script, LONG);
        let line = "KVM internal error. Suberror: 1";
        let reason = format!("the virtual CPU stopped: {line}");
        assert_eq!(run.end, End::Ended(reason));
        assert_eq!(run.diagnostics, [line, "RIP=1"]);
    }

    #[test]
    fn a_line_can_end_the_run_and_what_follows_at_once_is_taken() {
        let (run, lines) = shell("printf 'crash\nwhy\n'; exec sleep 600", LONG);
        assert_eq!(run.end, End::Ended("it crashed".into()));
        assert_eq!(lines, ["crash", "why"]);
        assert!(run.duration < LONG);
    }

    #[test]
    fn a_guest_does_not_outlive_who_started_it() {
        let start = || spawn(Command::new("sleep").arg("600")).unwrap();
        let (mut process, messages) = std::thread::spawn(start).join().unwrap();
        let closed = messages.recv_timeout(LONG).err();
        assert_eq!(closed, Some(RecvTimeoutError::Disconnected));
        let status = process.0.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let mut command = Command::new("/nonexistent/qemu");
        let error = run(&mut command, LONG, &mut |_| Ok(ControlFlow::Continue(())))
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "/nonexistent/qemu");
    }
}
