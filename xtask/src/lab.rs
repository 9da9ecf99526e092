//! Boots scenarios on this machine and reports on each.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::annotate::Annotator;
use crate::appliance::Built;
use crate::appliance::kvm::{self, KVM};
use crate::disturbance::Disturber;
use crate::figures;
use crate::guest::{self, Run};
use crate::host::Host;
use crate::kernel;
use crate::protocol::Event;
use crate::qemu::{self, Options};
use crate::render;
use crate::report::Report;
use crate::scenario::{Carrier, Scenario, Setting};
use crate::screen::Screen;
use crate::transcript::{Content, End, Verdict};
use crate::xen::{self, Xen};

/// Everything that the boots of one kernel on this machine share.
pub(crate) struct Lab {
    kernel: PathBuf,
    /// Name and version.
    qemu: String,
    host: Host,
    annotator: Annotator,
    /// Why it cannot be built, or where it is, once that is known.
    kvm_appliance: Option<Result<Built, String>>,
    /// The same of Xen.
    hypervisor: Option<Result<PathBuf, String>>,
    /// Notes on hosts that were printed already.
    notes: Vec<&'static str>,
}

impl Lab {
    /// Looks at the machine. `qemu` is QEMU's name and version.
    pub(crate) fn new(kernel: PathBuf, qemu: String) -> Self {
        Self {
            annotator: Annotator::from_file(&kernel),
            kernel,
            qemu,
            host: Host::detect(),
            kvm_appliance: None,
            hypervisor: None,
            notes: Vec::new(),
        }
    }

    /// Boots the kernel in `scenario`, and shows on `out` what it says as it comes. A
    /// scenario that this machine cannot run is reported as skipped.
    pub(crate) fn boot(
        &mut self,
        scenario: &Scenario,
        options: &Options<'_>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Report> {
        let setting = match self.setting(scenario, options) {
            Ok(setting) => setting,
            Err(reason) => return Ok(Report::skipped(scenario.name, reason)),
        };
        let mut disturber = self.disturber(scenario)?;
        let mut command =
            match self.command(scenario, &setting, options, disturber.as_ref(), out)? {
                Ok(command) => command,
                Err(reason) => return Ok(Report::lacking(scenario.name, reason)),
            };
        let host = format!("{} {}", self.qemu, scenario.host);
        writeln!(out, "== {}, {}: {host}", scenario.name, cpus(options.smp))?;
        if let Some(note) = setting.note.filter(|note| !self.notes.contains(note)) {
            writeln!(out, "note: {note}")?;
            self.notes.push(note);
        }
        let mut xen = matches!(scenario.carrier, Carrier::Xen(_)).then(Xen::default);
        let mut screen = Screen::new(&self.annotator, out);
        let mut run = guest::run(&mut command, scenario.timeout, &mut |line| {
            if let Some(xen) = &mut xen {
                return xen.line(line, &mut screen);
            }
            let content = screen.line(line)?;
            if let (Content::Event(Event::ReadyToStop), Some(disturber)) =
                (&content, &mut disturber)
            {
                disturber.disturb();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(xen) = &mut xen {
            run.end = xen.end(run.end, &mut screen)?;
        }
        let (transcript, tail) = screen.close();
        if matches!(scenario.carrier, Carrier::KvmAppliance(_)) {
            run.end = transcript.end_in_appliance(run.end);
        }
        let mut verdict = transcript.verdict(&run.end, scenario.ending);
        if verdict == Verdict::Pass
            && scenario.counts_instructions
            && let Err(reason) = figures::check(&transcript.measurements, options.smp)
        {
            verdict = Verdict::Fail(reason);
        }
        if let Some(disturber) = disturber {
            verdict = disturber.judge(verdict);
        }
        if let Verdict::Fail(reason) = &verdict {
            self.explain(reason, &command, &run, &tail, out)?;
            if let Some(xen) = xen {
                xen.explain(out)?;
            }
        }
        writeln!(out)?;
        Ok(Report {
            scenario: scenario.name,
            cpus: options.smp,
            host,
            transcript,
            duration: run.duration,
            verdict,
        })
    }

    fn setting(&self, scenario: &Scenario, options: &Options<'_>) -> Result<Setting, String> {
        if scenario.single_cpu && options.smp > 1 {
            return Err("it runs one CPU only; leave out --smp".into());
        }
        (scenario.prepare)(&self.host)
    }

    /// The command that boots the kernel, with all that it needs; when this machine cannot
    /// provide that, the inner error is the reason.
    fn command(
        &mut self,
        scenario: &Scenario,
        setting: &Setting,
        options: &Options<'_>,
        disturber: Option<&Disturber>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Command, String>> {
        match scenario.carrier {
            Carrier::Qemu => {
                let kernel = self.kernel.to_str().context("odd kernel path")?;
                let mut command = Command::new(qemu::PROGRAM);
                command.args(qemu::arguments(scenario, setting, options, kernel));
                if let Some(disturber) = disturber {
                    command.args(disturber.arguments(&disturber.address()));
                }
                Ok(Ok(command))
            }
            Carrier::Xen(words) => {
                let hypervisor = match self.hypervisor(out)? {
                    Ok(hypervisor) => hypervisor,
                    Err(reason) => return Ok(Err(reason)),
                };
                let command =
                    xen::command(&hypervisor, &self.kernel, scenario, setting, options, words);
                command.map(Ok)
            }
            Carrier::KvmAppliance(more) => {
                let built = match self.kvm_appliance(out)? {
                    Ok(built) => built,
                    Err(reason) => return Ok(Err(reason)),
                };
                let mut arguments = qemu::arguments(scenario, setting, options, kvm::KERNEL);
                if let Some(disturber) = disturber {
                    arguments.extend(disturber.arguments(kvm::SECOND_SERIAL_PORT));
                }
                let command =
                    kvm::command(&built, &self.kernel, &arguments, options, scenario.timeout);
                command.map(|mut command| {
                    command.args(more);
                    if let Some(disturber) = disturber {
                        command.args(["-serial", &disturber.address()]);
                    }
                    Ok(command)
                })
            }
        }
    }

    /// Unpacks it if it is the first time that it is asked for.
    fn hypervisor(&mut self, out: &mut dyn Write) -> anyhow::Result<Result<PathBuf, String>> {
        if let Some(known) = &self.hypervisor {
            return Ok(known.clone());
        }
        let target = kernel::target_directory(&self.kernel)?.join("appliance");
        let found = xen::hypervisor(&target, out)?;
        self.hypervisor = Some(found.clone());
        Ok(found)
    }

    /// For the scenarios that need one.
    fn disturber(&self, scenario: &Scenario) -> anyhow::Result<Option<Disturber>> {
        let Some(disturbance) = scenario.disturbance else {
            return Ok(None);
        };
        let target = kernel::target_directory(&self.kernel)?;
        Disturber::new(disturbance, target).map(Some)
    }

    /// Builds it if it is the first time that it is asked for.
    fn kvm_appliance(&mut self, out: &mut dyn Write) -> anyhow::Result<Result<Built, String>> {
        if let Some(known) = &self.kvm_appliance {
            return Ok(known.clone());
        }
        let target = kernel::target_directory(&self.kernel)?.join("appliance");
        let built = KVM.build(&target, out)?;
        self.kvm_appliance = Some(built.clone());
        Ok(built)
    }

    fn explain(
        &self,
        reason: &str,
        command: &Command,
        run: &Run,
        tail: &[String],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(out, "FAIL: {}", render::printable(reason))?;
        if matches!(run.end, End::Ended(_)) {
            match tail.len() {
                0 => writeln!(out, "the guest wrote nothing")?,
                length => writeln!(out, "its last {length} lines:")?,
            }
            for line in tail {
                writeln!(out, "| {line}")?;
            }
        }
        if !run.diagnostics.is_empty() {
            writeln!(out, "QEMU said:")?;
            for line in &run.diagnostics {
                writeln!(out, "| {}", self.annotator.annotate(line))?;
            }
        }
        writeln!(out, "command: {command:?}")
    }
}

fn cpus(count: u16) -> String {
    match count {
        1 => "1 CPU".into(),
        _ => format!("{count} CPUs"),
    }
}
