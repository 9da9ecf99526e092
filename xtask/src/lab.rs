//! Boots scenarios on this machine and reports on each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::annotate::Annotator;
use crate::appliance;
use crate::appliance::kvm::{self, KVM};
use crate::appliance::xen::XEN;
use crate::disturbance::Disturber;
use crate::grub::Grub;
use crate::guest::{self, Guest, Run};
use crate::host::Host;
use crate::kernel::{self, WordSize};
use crate::protocol::Event;
use crate::qemu::{self, Options};
use crate::render;
use crate::report::Report;
use crate::scenario::{Carrier, Scenario, Setting};
use crate::screen::Screen;
use crate::supplies::{self, Supplies};
use crate::transcript::{Content, End, Verdict};
use crate::xen::{self, Xen};

/// Everything that boots on this machine share.
pub(crate) struct Lab {
    kernels: BTreeMap<WordSize, Kernel>,
    /// Name and version.
    qemu: String,
    host: Host,
    supplies: Supplies,
    /// Notes on hosts that were printed already.
    notes: Vec<&'static str>,
}

/// A kernel that can be booted.
#[derive(Clone)]
struct Kernel {
    path: PathBuf,
    annotator: Annotator,
}

impl Lab {
    /// Looks at the machine. `qemu` is QEMU's name and version.
    pub(crate) fn new(qemu: String) -> Self {
        Self {
            kernels: BTreeMap::new(),
            host: Host::detect(&qemu),
            qemu,
            supplies: Supplies::default(),
            notes: Vec::new(),
        }
    }

    /// Takes a kernel for the scenarios that want one of that word size.
    pub(crate) fn add_kernel(&mut self, word_size: WordSize, path: PathBuf) {
        let annotator = Annotator::from_file(&path);
        self.kernels.insert(word_size, Kernel { path, annotator });
    }

    /// Boots the kernel in `scenario`, and shows on `out` what it says as it comes. A scenario that
    /// this machine cannot run is reported as skipped, and one that comes to an error as failed. Most
    /// scenarios have one report.
    pub(crate) fn boot(
        &mut self,
        scenario: &Scenario,
        options: &Options<'_>,
        out: &mut dyn Write,
    ) -> Vec<Report> {
        self.try_boot(scenario, options, out)
            .unwrap_or_else(|error| {
                let reason = format!("{error:#}");
                // What is written next fails like this.
                let _ = say_failure(scenario.name, &reason, out);
                vec![Report::failed(scenario.name, reason)]
            })
    }

    fn try_boot(
        &mut self,
        scenario: &Scenario,
        options: &Options<'_>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Vec<Report>> {
        let setting = match self.setting(scenario, options) {
            Ok(setting) => setting,
            Err(reason) => return Ok(vec![Report::skipped(scenario.name, reason)]),
        };
        let kernel = self.kernels.get(&scenario.word_size).cloned();
        let kernel =
            kernel.with_context(|| format!("there is no {} kernel", scenario.word_size))?;
        let mut disturber = scenario.disturbance.map(Disturber::new).transpose()?;
        let mut command = match self.command(
            &kernel.path,
            scenario,
            &setting,
            options,
            disturber.as_ref(),
            out,
        )? {
            Ok(command) => command,
            Err(reason) => return Ok(vec![Report::lacking(scenario.name, reason)]),
        };
        let host = format!("{} {}", self.qemu, scenario.host);
        writeln!(out, "== {}, {}: {host}", scenario.name, cpus(options.smp))?;
        if let Some(note) = setting.note.filter(|note| !self.notes.contains(note)) {
            writeln!(out, "note: {note}")?;
            self.notes.push(note);
        }
        let mut xen = scenario.carrier.domains().map(Xen::new);
        let mut screen = Screen::new(&kernel.annotator, out);
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
        if matches!(scenario.carrier, Carrier::KvmAppliance(_)) {
            run.end = screen.transcript.end_in_appliance(run.end);
        }
        let tail = screen.tail();
        let host = match xen.as_ref().and_then(Xen::version) {
            Some(version) => host.replacen("Xen", &format!("Xen {version}"), 1),
            None => host,
        };
        let guests = match (&mut xen, scenario.carrier) {
            (Some(xen), Carrier::XenAppliance(_)) => xen.domains(&run.end, &mut screen),
            _ => {
                let guest = Guest {
                    transcript: screen.transcript,
                    end: run.end.clone(),
                    duration: run.duration,
                };
                vec![(scenario.name, guest)]
            }
        };
        let mut reports = Vec::new();
        for (name, guest) in guests {
            let verdict = judge(&guest, scenario, options, disturber.as_ref());
            if let Verdict::Fail(reason) = &verdict {
                say_failure(name, reason, out)?;
            }
            reports.push(Report {
                scenario: name,
                cpus: options.smp,
                host: host.clone(),
                transcript: guest.transcript,
                duration: guest.duration,
                verdict,
            });
        }
        if reports.iter().any(Report::has_failed) {
            explain(&kernel.annotator, &command, &run, &tail, out)?;
            if let Some(xen) = xen {
                xen.explain(out)?;
            }
        }
        writeln!(out)?;
        Ok(reports)
    }

    /// The same for a scenario with one report.
    pub(crate) fn boot_one(
        &mut self,
        scenario: &Scenario,
        options: &Options<'_>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Report> {
        let first = self.boot(scenario, options, out).into_iter().next();
        first.with_context(|| format!("{} has no report", scenario.name))
    }

    /// What this machine adds to the scenario, or why it can't run it.
    pub(crate) fn setting(
        &self,
        scenario: &Scenario,
        options: &Options<'_>,
    ) -> Result<Setting, String> {
        let (least, most) = (scenario.least_cpus, scenario.most_cpus);
        if options.smp < least {
            return Err(format!(
                "it takes {} at least; leave out --smp",
                cpus(least)
            ));
        }
        if options.smp > most {
            return Err(format!("it takes {} at most; leave out --smp", cpus(most)));
        }
        (scenario.prepare)(&self.host)
    }

    /// The command that boots the kernel, with all that it needs; when this machine cannot
    /// provide that, the inner error is the reason.
    pub(crate) fn command(
        &mut self,
        kernel: &Path,
        scenario: &Scenario,
        setting: &Setting,
        options: &Options<'_>,
        disturber: Option<&Disturber>,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Command, String>> {
        match scenario.carrier {
            Carrier::Qemu => {
                let target = kernel::target_directory(kernel)?;
                let kernel = kernel::path_in(target, kernel)?;
                let mut arguments = qemu::arguments(scenario, setting, options, kernel);
                for path in match self.supplies.roms(scenario, out)? {
                    Ok(paths) => paths,
                    Err(reason) => return Ok(Err(reason)),
                } {
                    arguments.extend(["-option-rom".into(), path.display().to_string()]);
                }
                let mut command = match disturber {
                    None => Command::new(qemu::PROGRAM),
                    Some(disturber) => {
                        arguments.extend(disturber.arguments(&disturber.address()));
                        disturber.program()
                    }
                };
                command.current_dir(target).args(arguments);
                Ok(Ok(command))
            }
            Carrier::Grub => {
                let target = supplies::directory(kernel)?;
                let grub = match Grub::unpacked(&target, out)? {
                    Ok(grub) => grub,
                    Err(reason) => return Ok(Err(reason)),
                };
                let kernel = fs::read(kernel)?;
                let disks =
                    grub.disks(&kernel, &qemu::kernel_cmdline(scenario, setting, options))?;
                let mut command = Command::new(qemu::PROGRAM);
                command
                    .args(qemu::machine(setting, options))
                    .arg("-no-reboot")
                    .args(disks.arguments(&target)?);
                Ok(Ok(command))
            }
            Carrier::Xen(words) => {
                let hypervisor = match self.supplies.hypervisor(kernel, scenario, out)? {
                    Ok(hypervisor) => hypervisor,
                    Err(reason) => return Ok(Err(reason)),
                };
                let command = xen::command(&hypervisor, kernel, scenario, setting, options, words);
                command.map(Ok)
            }
            Carrier::XenAppliance(_) => {
                let target = supplies::directory(kernel)?;
                let grub = Grub::unpacked(&target, out)?;
                let needs = (
                    self.supplies.hypervisor(kernel, scenario, out)?,
                    self.supplies.appliance(kernel, &XEN, out)?,
                    grub,
                );
                let (hypervisor, built, grub) = match needs {
                    (Ok(hypervisor), Ok(built), Ok(grub)) => (hypervisor, built, grub),
                    (Err(reason), _, _) | (_, Err(reason), _) | (_, _, Err(reason)) => {
                        return Ok(Err(reason));
                    }
                };
                let command = appliance::xen::command(
                    &hypervisor,
                    &built,
                    &grub,
                    kernel,
                    scenario,
                    setting,
                    options,
                );
                command.map(Ok)
            }
            Carrier::KvmAppliance(more) => {
                let built = match self.supplies.appliance(kernel, &KVM, out)? {
                    Ok(built) => built,
                    Err(reason) => return Ok(Err(reason)),
                };
                let mut files = match self.supplies.roms(scenario, out)? {
                    Ok(paths) => kvm::files_of(&paths)?,
                    Err(reason) => return Ok(Err(reason)),
                };
                let mut arguments = qemu::arguments(scenario, setting, options, kvm::KERNEL);
                for (path, _) in &files {
                    arguments.extend(["-option-rom".into(), format!("/{path}")]);
                }
                if scenario.word_size == WordSize::Bits32 {
                    match kvm::module_for_32_bit(&built)? {
                        Ok(module) => files.push(module),
                        Err(reason) => return Ok(Err(reason)),
                    }
                }
                if let Some(disturber) = disturber {
                    arguments.extend(disturber.arguments(kvm::SECOND_SERIAL_PORT));
                }
                let timeout = scenario.timeout;
                let command = kvm::command(&built, kernel, &files, &arguments, options, timeout);
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
}

fn explain(
    annotator: &Annotator,
    command: &Command,
    run: &Run,
    tail: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
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
            writeln!(out, "| {}", annotator.annotate(line))?;
        }
    }
    writeln!(out, "command: {command:?}")
}

fn judge(
    guest: &Guest,
    scenario: &Scenario,
    options: &Options<'_>,
    disturber: Option<&Disturber>,
) -> Verdict {
    let transcript = &guest.transcript;
    let mut verdict = transcript.verdict(&guest.end, scenario.ending);
    if verdict == Verdict::Pass
        && let Err(reason) = transcript.check_boot(scenario.backend, scenario.says)
    {
        verdict = Verdict::Fail(reason);
    }
    if verdict == Verdict::Pass
        && let Some(figures) = scenario.figures
        && let Err(reason) = figures(&transcript.measurements, options.smp)
    {
        verdict = Verdict::Fail(reason);
    }
    match disturber {
        Some(disturber) => disturber.judge(verdict),
        None => verdict,
    }
}

fn say_failure(name: &str, reason: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "FAIL: {name}: {}", render::printable(reason))
}

fn cpus(count: u16) -> String {
    match count {
        1 => "1 CPU".into(),
        _ => format!("{count} CPUs"),
    }
}
