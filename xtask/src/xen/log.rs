//! Xen's own lines, and what they tell of an end that QEMU does not show.

use std::collections::VecDeque;
use std::ops::ControlFlow;

/// So many of Xen's lines are kept.
const RECENT: usize = 5;

/// Signs that Xen or a domain cannot go on, in Xen's words.
const SIGNS: [&str; 9] = [
    "ERROR:",
    "Unhandled",
    "Triple fault",
    "domain_crash",
    "crashed on cpu",
    "Hardware Dom0 crashed",
    "Xen BUG at",
    "FATAL TRAP",
    "Assertion",
];

/// The line behind this one has the reason.
const PANIC: &str = "Panic on CPU";

/// After one of these Xen says nothing more. It waits 5 s and resets the machine, or waits for ever.
const LAST_WORDS: [&str; 4] = [
    "Reboot in five seconds",
    "Hardware Dom0 crashed",
    "Hardware Dom0 halted",
    "Manual reset required",
];

/// What Xen said in one boot.
#[derive(Default)]
pub(crate) struct Log {
    recent: VecDeque<String>,
    reason: Option<String>,
    panics: bool,
}

impl Log {
    /// Takes one of Xen's lines; breaks off with the reason where it is the last.
    pub(crate) fn note(&mut self, line: &str) -> ControlFlow<String> {
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(line.into());
        if self.panics || SIGNS.iter().any(|sign| line.contains(sign)) {
            self.reason.get_or_insert(line.trim().into());
        }
        self.panics = line.starts_with(PANIC);
        match LAST_WORDS.iter().any(|words| line.contains(words)) {
            true => ControlFlow::Break(format!("Xen: {}", self.reason().unwrap_or(line))),
            false => ControlFlow::Continue(()),
        }
    }

    /// The first sign of trouble.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The last lines, in their order.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &str> {
        self.recent.iter().rev().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reason to break off, if any, and the reason known.
    fn after(lines: &[&str]) -> (Option<String>, Option<String>) {
        let mut log = Log::default();
        let mut broken = None;
        for line in lines {
            assert_eq!(broken, None, "before {line}");
            if let ControlFlow::Break(reason) = log.note(line) {
                broken = Some(reason);
            }
        }
        (broken, log.reason().map(String::from))
    }

    #[test]
    fn a_panic_tells_its_reason() {
        let lines = [
            "****************************************",
            "Panic on CPU 0:",
            "Could not construct domain 0",
            "****************************************",
            "",
            "Reboot in five seconds...",
        ];
        assert_eq!(
            after(&lines).0.as_deref(),
            Some("Xen: Could not construct domain 0")
        );
    }

    #[test]
    fn the_first_sign_of_a_crash_is_the_reason() {
        let lines = [
            "d0v0 Unhandled: vec 14, #PF[0001]",
            "domain_crash_sync called from entry.S: fault at ffff82d0402e7cd1",
            "Domain 0 (vcpu#0) crashed on cpu#0:",
            "Hardware Dom0 crashed: rebooting machine in 5 seconds.",
        ];
        assert_eq!(
            after(&lines).0.as_deref(),
            Some("Xen: d0v0 Unhandled: vec 14, #PF[0001]")
        );
        let reset = [
            "d0v0 Triple fault - invoking HVM shutdown action 1",
            "Hardware Dom0 shutdown: rebooting machine",
        ];
        let expected = reset[0].to_string();
        assert_eq!(after(&reset), (None, Some(expected)));
    }

    #[test]
    fn nothing_is_wrong_with_an_ordinary_boot() {
        let lines = [
            "Xen version 4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1)",
            "*** Building a PVH Dom0 ***",
            "WARNING: PVH is an experimental mode with limited functionality",
            "mcheck_poll: Machine check polling timer started.",
        ];
        assert_eq!(after(&lines), (None, None));
        let halted = "Hardware Dom0 halted: halting machine";
        assert_eq!(after(&[halted]).0, Some(format!("Xen: {halted}")));
    }

    #[test]
    fn a_few_lines_are_kept() {
        let mut log = Log::default();
        for number in 0..10 {
            let _ = log.note(&number.to_string());
        }
        assert_eq!(log.recent().collect::<Vec<_>>(), ["5", "6", "7", "8", "9"]);
    }
}
