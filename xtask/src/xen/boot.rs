//! A boot of Xen as it goes: which lines are the kernel's, as dom0 or as other domains, and ends that
//! QEMU does not show.

use std::io::{self, Write};
use std::mem;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::console::{Console, Speaker};
use super::log::Log;
use crate::appliance::xen::Domain;
use crate::guest::Guest;
use crate::lines::Line;
use crate::protocol::Event;
use crate::render::printable;
use crate::screen::Screen;
use crate::transcript::{Content, EXIT_STATUS_OFF, End, Transcript, describe};

/// One boot of Xen.
#[derive(Default)]
pub(crate) struct Xen {
    /// The domains that the appliance is to run.
    domains: &'static [Domain],
    console: Console,
    log: Log,
    /// Xen's version, as it says.
    version: Option<String>,
    /// Name of the domain that the appliance runs, and since when.
    running: Option<(String, Instant)>,
    /// The kernel as domains that have ended, by their names.
    ended: Vec<(String, Guest)>,
}

impl Xen {
    /// Before the boot, in which an appliance is to run these domains, if any.
    pub(crate) fn new(domains: &'static [Domain]) -> Self {
        Self {
            domains,
            ..Self::default()
        }
    }

    /// Takes a line from the serial port. Shows those of domains, and from the first sign of trouble
    /// on also Xen's; breaks off where Xen says that it can't go on.
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
            (End::Exit(Some(EXIT_STATUS_OFF)) | End::Ended(_), Some(reason)) => {
                End::Ended(format!("Xen: {reason}"))
            }
            _ => end,
        })
    }

    /// Xen's version, once it has said it.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The kernel as each domain that the appliance was to run, after the boot has come to `end`.
    pub(crate) fn domains(
        &mut self,
        end: &End,
        screen: &mut Screen<'_>,
    ) -> Vec<(&'static str, Guest)> {
        let last = mem::take(&mut screen.transcript);
        let reason = match &last.appliance_failure {
            Some(reason) => format!("the appliance failed: {reason}"),
            None => format!("dom0 did not go on; {}", describe(end)),
        };
        self.domain_ended(last, End::Ended(reason.clone()));
        let mut guest = |name| {
            let found = self.ended.iter().position(|(ended, _)| ended == name);
            found.map(|position| self.ended.swap_remove(position).1)
        };
        let never = || Guest {
            transcript: Transcript::default(),
            end: End::Ended(reason.clone()),
            duration: Duration::ZERO,
        };
        self.domains
            .iter()
            .map(|domain| {
                let guest = guest(domain.name).unwrap_or_else(never);
                (domain.report, guest)
            })
            .collect()
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
        let Speaker::Domain(domain) = speaker else {
            let text = String::from_utf8_lossy(&line.bytes);
            if self.version.is_none() {
                self.version = version(&text).map(printable);
            }
            let next = self.log.note(&text);
            if self.log.reason().is_some() {
                screen.text(&printable(&format!("(XEN) {text}")))?;
            }
            return Ok(next);
        };
        match (domain, screen.line(line)?) {
            (0, Content::Event(Event::DomainStart(name))) => {
                self.running = Some((name, Instant::now()));
                self.log = Log::default();
                screen.transcript = Transcript::default();
            }
            (0, Content::Event(Event::DomainEnd(word))) => {
                let transcript = mem::take(&mut screen.transcript);
                self.domain_ended(transcript, self.domain_end(&word));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn domain_ended(&mut self, mut transcript: Transcript, mut end: End) {
        if let Some((name, start)) = self.running.take() {
            let domain = self.domains.iter().find(|domain| domain.name == name);
            let wanted = domain.map_or(0, |domain| domain.restarts);
            let restarts = mem::take(&mut transcript.restarts);
            if restarts != wanted && !matches!(end, End::Ended(_)) {
                end = End::Ended(format!(
                    "the kernel was started anew {restarts} times, not {wanted}"
                ));
            }
            let guest = Guest {
                transcript,
                end,
                duration: start.elapsed(),
            };
            self.ended.push((name, guest));
        }
    }

    fn domain_end(&self, word: &str) -> End {
        match (word, self.log.reason()) {
            ("poweroff", _) => End::Exit(Some(EXIT_STATUS_OFF)),
            (_, Some(reason)) => End::Ended(format!("the domain's end: {word}; Xen: {reason}")),
            (_, None) => End::Ended(format!("the domain's end: {word}")),
        }
    }
}

/// What Xen says of its version, of which the first word is the number.
fn version(line: &str) -> Option<&str> {
    line.strip_prefix("Xen version ")?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotate::Annotator;
    use crate::appliance::xen::DOMAINS;
    use std::path::Path;

    /// What becomes of the domains when the port says `lines`, and QEMU then ends with 0.
    fn ends(lines: &[&str]) -> Vec<(&'static str, End, u64)> {
        let annotator = Annotator::from_file(Path::new("/nonexistent"));
        let mut out = Vec::new();
        let mut screen = Screen::new(&annotator, &mut out);
        let mut xen = Xen::new(DOMAINS);
        for line in lines {
            let line = Line {
                bytes: line.as_bytes().to_vec(),
                overlong: false,
            };
            assert!(xen.line(&line, &mut screen).unwrap().is_continue());
        }
        let end = xen.end(End::Exit(Some(0)), &mut screen).unwrap();
        xen.domains(&end, &mut screen)
            .into_iter()
            .map(|(name, guest)| (name, guest.end, guest.transcript.passed))
            .collect()
    }

    #[test]
    fn each_domain_has_its_own_end_and_checks() {
        let check = r#"@{"event":"check","name":"a","status":"pass"}"#;
        let ended = ends(&[
            r#"@{"event":"domain_start","domain":"pv"}"#,
            &format!("[d1] {check}"),
            &format!("[d1] {check}"),
            r#"@{"event":"domain_end","domain":"pv","end":"poweroff"}"#,
            r#"@{"event":"domain_start","domain":"pvh"}"#,
            &format!("(d2) {check}"),
            r#"(d2) @{"event":"domain_end","domain":"pvh","end":"poweroff"}"#,
            "(XEN) d2v0 Triple fault - invoking HVM shutdown action 3",
            r#"@{"event":"domain_end","domain":"pvh","end":"crash"}"#,
        ]);
        let crash = "the domain's end: crash; \
                     Xen: d2v0 Triple fault - invoking HVM shutdown action 3";
        let lost = "dom0 did not go on; Xen: d2v0 Triple fault - invoking HVM shutdown action 3";
        assert_eq!(
            ended,
            [
                ("xen-domu-pv", End::Exit(Some(EXIT_STATUS_OFF)), 2),
                ("xen-domu-pvh", End::Ended(crash.into()), 1),
                ("xen-domu-hvm", End::Ended(lost.into()), 0),
            ]
        );
    }

    #[test]
    fn xen_says_its_version_at_first() {
        let line = "Xen version 4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1) (gcc) debug=n";
        assert_eq!(version(line), Some("4.17.7"));
        assert_eq!(version("Xen version "), None);
        assert_eq!(version("Latest ChangeSet:"), None);
    }

    #[test]
    fn a_failed_appliance_is_the_reason_for_all() {
        let ended = ends(&[r#"@{"event":"appliance_failed","reason":"no xenfs"}"#]);
        let reason = End::Ended("the appliance failed: no xenfs".into());
        assert!(ended.iter().all(|(_, end, _)| *end == reason));
    }
}
