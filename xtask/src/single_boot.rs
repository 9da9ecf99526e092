//! One boot of any kernel, which need not report as the demo kernel does.

use std::ops::ControlFlow;
use std::path::Path;

use crate::annotate::Annotator;
use crate::guest::{self, Run};
use crate::lab::Lab;
use crate::qemu::Options;
use crate::scenario::Scenario;
use crate::screen::Screen;
use crate::setup;
use crate::step::End;
use crate::transcript::Transcript;
use crate::xen::Xen;

/// How it went.
pub(crate) struct SingleBoot {
    pub(crate) run: Run,
    pub(crate) transcript: Transcript,
    /// What it was shown to have said.
    pub(crate) text: String,
    /// By which command.
    pub(crate) command: String,
}

impl SingleBoot {
    /// Boots `kernel` in the scenario, with one CPU and these words on its command line; or says why this
    /// machine can't.
    pub(crate) fn new(
        lab: &mut Lab,
        kernel: &Path,
        scenario: &Scenario,
        cmdline: &str,
    ) -> anyhow::Result<Result<Self, End>> {
        let options = Options {
            smp: 1,
            mem: 128,
            cmdline,
            cpu_flags: "",
        };
        let setting = match lab.setting(scenario, &options) {
            Ok(setting) => setting,
            Err(reason) => return Ok(Err(End::Skipped(reason))),
        };
        let mut log = Vec::new();
        let mut command = match lab.command(kernel, scenario, &setting, &options, None, &mut log)? {
            Ok(command) => command,
            Err(reason) => return Ok(Err(setup::lacking(reason))),
        };
        let annotator = Annotator::from_file(kernel);
        let mut screen = Screen::new(&annotator, &mut log);
        let mut xen = scenario.carrier.domains().map(Xen::new);
        let mut run = guest::run(&mut command, scenario.timeout, &mut |line| match &mut xen {
            Some(xen) => xen.line(line, &mut screen),
            None => screen.line(line).map(|_| ControlFlow::Continue(())),
        })?;
        if let Some(xen) = &mut xen {
            run.end = xen.end(run.end, &mut screen)?;
        }
        let transcript = screen.transcript;
        Ok(Ok(Self {
            run,
            transcript,
            text: String::from_utf8_lossy(&log).into_owned(),
            command: format!("{command:?}"),
        }))
    }

    /// A failure, with all that was said.
    pub(crate) fn failure(&self, reason: &str) -> String {
        let diagnostics = self.run.diagnostics.join("\n");
        format!("{reason}\n{}{diagnostics}\n{}", self.text, self.command)
    }
}
