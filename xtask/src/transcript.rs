//! What a boot reported, and the verdict on it.
//!
//! A pass needs the exit status of a pass *and* one sound result line that agrees with
//! the checks seen. Anything else is a failure with a reason.

use std::collections::BTreeMap;

use crate::bench::benchmark::Benchmark;
use crate::figures::Measurement;
use crate::lines::Line;
use crate::protocol::{self, Boot, Event, Status, Summary};
use crate::scenario::Ending;
use crate::sites::Relocation;
use crate::steal::Steal;

/// QEMU's exit status when the kernel writes 0x10 to isa-debug-exit: `value << 1 | 1`.
pub(crate) const EXIT_STATUS_PASS: i32 = 33;
/// The same for 0x11.
const EXIT_STATUS_FAIL: i32 = 35;
/// QEMU's exit status, or that of a domain, when the guest turns the machine off, or resets it under
/// `-no-reboot`.
pub(crate) const EXIT_STATUS_OFF: i32 = 0;

/// What the kernel says before it resets the machine.
const RESETTING: &[u8] = b"resetting the machine";

/// By this check the second of two kernels tells that the host has left alone what it had shared with
/// the first.
const SHARED_PAGES: &str = "hand_over.shared_pages";

/// How QEMU came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this status; `None` when a signal ended it.
    Exit(Option<i32>),
    /// It was ended from here, for this reason.
    Ended(String),
}

/// The verdict on one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail(String),
    Skip(String),
}

/// Everything noted from the serial lines of one boot.
#[derive(Default)]
pub(crate) struct Transcript {
    pub(crate) boot: Option<Boot>,
    /// What it said for people before its first check.
    boot_text: Vec<String>,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Name and reason of each skipped check.
    pub(crate) skipped: Vec<(String, String)>,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) benchmarks: Vec<Benchmark>,
    /// The check that passed last, and the ticks that it took.
    pub(crate) last_passed: Option<(String, u64)>,
    /// How often a kernel has handed the machine to another, whose checks are then counted anew.
    hand_overs: u32,
    /// How often the kernel was started anew after a pass and a reset of its own.
    pub(crate) restarts: u32,
    /// It has said that it resets the machine.
    has_reset: bool,
    /// The check [`SHARED_PAGES`] has passed since.
    shared_pages_passed: bool,
    /// What KVM has counted, in an appliance.
    pub(crate) kvm_counters: BTreeMap<String, u64>,
    pub(crate) steal: Steal,
    /// What is at call sites, by address, if the kernel was to tell.
    pub(crate) sites: BTreeMap<u64, Vec<u8>>,
    /// What the VMI ROM has said of its calls, if the kernel was to tell.
    pub(crate) relocations: Vec<Relocation>,
    /// What it and its host have said to each other, if the kernel was to tell.
    pub(crate) traffic: Vec<String>,
    results: Vec<Summary>,
    /// Status of the QEMU in an appliance.
    guest_ends: Vec<i32>,
    /// Why an appliance could not run the kernel to its end.
    pub(crate) appliance_failure: Option<String>,
    /// The last line says that the kernel is about to reset the machine.
    resetting: bool,
    first_failed: Option<String>,
    first_fault: Option<String>,
}

/// What a serial line is.
pub(crate) enum Content {
    /// For people.
    Text,
    Event(Event),
    /// A machine line, or a line too long to tell, that cannot be used; the reason.
    Fault(String),
}

impl Transcript {
    /// Takes note of a line and says what it is.
    pub(crate) fn note(&mut self, line: &Line) -> Content {
        let content = content(line);
        self.resetting = line.bytes.trim_ascii_end() == RESETTING;
        self.has_reset |= self.resetting;
        match &content {
            Content::Text => self.note_text(line),
            Content::Event(event) => self.note_event(event),
            Content::Fault(fault) => {
                self.first_fault.get_or_insert(fault.clone());
            }
        }
        content
    }

    fn note_text(&mut self, line: &Line) {
        const MAX_LINES: usize = 200;
        if self.passed + self.failed == 0 && self.boot_text.len() < MAX_LINES {
            let text = String::from_utf8_lossy(&line.bytes);
            self.boot_text.push(text.into_owned());
        }
    }

    fn note_event(&mut self, event: &Event) {
        match event {
            Event::Boot(boot) => {
                self.start_anew();
                self.boot = Some(boot.clone());
            }
            Event::Check(check) => match check.status {
                Status::Pass => {
                    self.passed += 1;
                    self.shared_pages_passed |= check.name == SHARED_PAGES;
                    self.last_passed = Some((check.name.clone(), check.ticks));
                }
                Status::Fail => {
                    self.failed += 1;
                    self.first_failed.get_or_insert(check.name.clone());
                }
                Status::Skip => self
                    .skipped
                    .push((check.name.clone(), check.detail.clone())),
            },
            Event::Measure(name, fields) => {
                self.measurements.push((name.clone(), fields.clone()));
            }
            Event::Bench(benchmark) => self.benchmarks.push(benchmark.clone()),
            Event::ApplianceFailed(reason) => {
                self.appliance_failure.get_or_insert(reason.clone());
            }
            Event::GuestEnd(status) if self.guest_ends.len() < 2 => self.guest_ends.push(*status),
            // More than two are no more wrong than two.
            Event::Result(summary) if self.results.len() < 2 => self.results.push(*summary),
            Event::KvmCounters(counters) => self.kvm_counters.clone_from(counters),
            Event::StolenTime(ns) => self.steal.kernel_ns.clone_from(ns),
            Event::StolenTimeAfter(ns) => self.steal.kernel_after_ns.clone_from(ns),
            Event::HostAccount(ns) => self.steal.host_ns.clone_from(ns),
            Event::HandOver => self.hand_over(),
            Event::Site(address, bytes) => {
                self.sites.insert(*address, bytes.clone());
            }
            Event::Relocation(relocation) => self.relocations.push(relocation.clone()),
            Event::Traffic(line) => self.traffic.push(line.clone()),
            Event::Result(_)
            | Event::GuestEnd(_)
            | Event::ReadyToStop
            | Event::DomainStart(_)
            | Event::DomainEnd(_)
            | Event::Other(..) => {}
        }
    }

    /// Forgets a boot that was sound and ended by a reset. Of any other the result stays, which is one too
    /// many.
    fn start_anew(&mut self) {
        let is_sound = match self.results[..] {
            [result] => result.pass && self.disagreement(result).is_none(),
            _ => false,
        };
        if is_sound && self.has_reset {
            self.restarts += 1;
            self.has_reset = false;
            self.results.clear();
            self.forget_passed();
        }
    }

    /// Forgets what has passed. What has failed stays, and so does a result, which is one too many.
    fn hand_over(&mut self) {
        self.hand_overs += 1;
        self.forget_passed();
    }

    fn forget_passed(&mut self) {
        self.passed = 0;
        self.shared_pages_passed = false;
        self.skipped.clear();
        self.measurements.clear();
        self.benchmarks.clear();
    }

    /// How the QEMU ended that ran the kernel in an appliance; `end` is the outer one's.
    pub(crate) fn end_in_appliance(&self, end: End) -> End {
        if let Some(reason) = &self.appliance_failure {
            return End::Ended(format!("the appliance failed: {reason}"));
        }
        match (&end, &self.guest_ends[..]) {
            (End::Ended(_), _) => end,
            (End::Exit(Some(EXIT_STATUS_OFF)), [status]) => End::Exit(Some(*status)),
            _ => End::Ended(format!(
                "the appliance said {} times how the kernel ended, not once; {}",
                self.guest_ends.len(),
                describe(&end)
            )),
        }
    }

    /// The verdict after QEMU's `end`, where a pass ends by `ending`.
    pub(crate) fn verdict(&self, end: &End, ending: Ending) -> Verdict {
        match self.reason_to_fail(end, ending) {
            Some(reason) => Verdict::Fail(reason),
            None => Verdict::Pass,
        }
    }

    /// # Errors
    /// The kernel came up by another backend than the wanted one, or did not say what it should have before
    /// its first check.
    pub(crate) fn check_boot(
        &self,
        backend: Option<&str>,
        says: Option<&str>,
    ) -> Result<(), String> {
        let found = self.boot.as_ref().map_or("none", |boot| &boot.backend);
        if let Some(wanted) = backend
            && found != wanted
        {
            return Err(format!("it came up by the backend {found}, not {wanted}"));
        }
        if let Some(wanted) = says
            && !self.boot_text.iter().any(|line| line.contains(wanted))
        {
            return Err(format!("it did not say {wanted:?} before its first check"));
        }
        Ok(())
    }

    /// The most telling reason comes first.
    fn reason_to_fail(&self, end: &End, ending: Ending) -> Option<String> {
        if let End::Ended(reason) = end {
            return Some(reason.clone());
        }
        if let Some(name) = &self.first_failed {
            return Some(match self.failed {
                1 => format!("check {name} failed"),
                failed => format!("{failed} checks failed, the first is {name}"),
            });
        }
        if let Some(fault) = &self.first_fault {
            return Some(fault.clone());
        }
        let result = match self.results[..] {
            [] => return Some(format!("no result line; {}", describe(end))),
            [result] => result,
            _ => return Some("more than one result line".into()),
        };
        if !result.pass {
            return Some(format!("the kernel reports a failure; {}", describe(end)));
        }
        if let Some(reason) = self.disagreement(result) {
            return Some(reason);
        }
        if let Err(reason) = self.steal.check() {
            return Some(reason);
        }
        if self.restarts != 0 {
            return Some("the kernel was started anew".into());
        }
        let hand_overs = match ending {
            Ending::HandOver => 1,
            Ending::DebugExit | Ending::PowerOff | Ending::Reset => 0,
        };
        if self.hand_overs != hand_overs {
            return Some(format!(
                "the machine was handed to another kernel {} times, not {hand_overs}",
                self.hand_overs
            ));
        }
        if ending == Ending::HandOver && !self.shared_pages_passed {
            return Some(format!(
                "the second kernel did not look for pages that were shared ({SHARED_PAGES})"
            ));
        }
        match (end, ending) {
            (End::Exit(Some(EXIT_STATUS_PASS)), Ending::DebugExit | Ending::HandOver)
            | (End::Exit(Some(EXIT_STATUS_OFF)), Ending::PowerOff) => None,
            // Off and reset look the same from here; the kernel says what it is about to do.
            (End::Exit(Some(EXIT_STATUS_OFF)), Ending::Reset) if self.resetting => None,
            _ => Some(format!("the result line says pass, but {}", describe(end))),
        }
    }

    /// Compares the result line with what was reported before. In its `checks` the kernel
    /// may count skipped checks and measurements or not.
    fn disagreement(&self, result: Summary) -> Option<String> {
        let run = self.passed + self.failed;
        let skipped = self.skipped.len() as u64;
        let measured = self.measurements.len() as u64;
        let most = run + skipped + measured;
        if result.checks == 0 {
            return Some("the result line counts no checks".into());
        }
        if result.checks < run || result.checks > most {
            return Some(format!(
                "the result line counts {} checks, but {most} lines reported one",
                result.checks
            ));
        }
        if (result.failed, result.skipped) != (self.failed, skipped) {
            return Some(format!(
                "the result line counts {} failed and {} skipped, but {} and {skipped} were reported",
                result.failed, result.skipped, self.failed
            ));
        }
        if self.passed + measured == 0 {
            return Some("every check was skipped".into());
        }
        None
    }
}

fn content(line: &Line) -> Content {
    if line.overlong {
        return Content::Fault("a serial line is longer than 64 KiB".into());
    }
    let Some(machine) = line.bytes.strip_prefix(b"@") else {
        return Content::Text;
    };
    match protocol::parse(machine) {
        Ok(event) => Content::Event(event),
        Err(error) => Content::Fault(format!("malformed machine line: {error:#}")),
    }
}

/// The end in words.
pub(crate) fn describe(end: &End) -> String {
    match end {
        End::Exit(Some(EXIT_STATUS_OFF)) => {
            "QEMU ended with status 0 (turned off, reset or triple fault)".into()
        }
        End::Exit(Some(EXIT_STATUS_PASS)) => "QEMU ended with status 33 (pass)".into(),
        End::Exit(Some(EXIT_STATUS_FAIL)) => "QEMU ended with status 35 (fail)".into(),
        End::Exit(Some(status)) => format!("QEMU ended with status {status}"),
        End::Exit(None) => "QEMU was ended by a signal".into(),
        End::Ended(reason) => reason.clone(),
    }
}

#[cfg(test)]
mod tests;
