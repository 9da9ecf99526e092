//! What a host does to a machine in the middle of its work: it stops it, restores it from a snapshot,
//! or has another QEMU go on with it.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use xshell::{Shell, TempDir};

use crate::monitor::Monitor;
use crate::qemu;
use crate::transcript::Verdict;

/// What happens to the machine, once the kernel says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// It stands still for a while.
    Stop,
    /// It is saved, reset, and restored as it was saved, a while later.
    Snapshot,
    /// It is migrated to a file, and from there to another QEMU, a while later.
    Migration,
}

/// How long the machine stands still: long enough to be told from a busy host, and by a clock of
/// whole seconds.
const STANDSTILL: Duration = Duration::from_secs(3);
const SOCKET: &str = "monitor";
/// How long QEMU may take to open its monitor, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a QEMU, and another if the first has left a file: its name, then the arguments of both. The
/// first one too ends with this process.
const ONE_AFTER_ANOTHER: &str = "\
    file=$1; shift
    setpriv --pdeathsig KILL \"$@\"
    status=$?
    [ -e \"$file\" ] || exit $status
    exec \"$@\" -incoming defer";

/// Tells a QEMU that may be running by then to disturb its machine.
pub(crate) struct Disturber {
    disturbance: Disturbance,
    socket: UnixListener,
    /// Where the socket is, and what a migrated machine is kept in. Not in the target directory: the path of
    /// a socket has 107 bytes at most (unix(7)), and QEMU takes a comma in it for its end.
    directory: TempDir,
    /// Whether it went well; `None` as long as nothing was done.
    outcome: Option<anyhow::Result<()>>,
}

impl Disturber {
    /// Listens for QEMU on a socket.
    pub(crate) fn new(disturbance: Disturbance) -> anyhow::Result<Self> {
        let directory = Shell::new()?.create_temp_dir()?;
        let path = directory.path().join(SOCKET);
        let socket = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            disturbance,
            socket,
            directory,
            outcome: None,
        })
    }

    /// Where QEMU finds us, as it names a character device.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.directory.path().join(SOCKET).display())
    }

    fn migrated(&self) -> PathBuf {
        self.directory.path().join("migrated")
    }

    /// What runs QEMU on this machine; QEMU's arguments are to follow.
    pub(crate) fn program(&self) -> Command {
        match self.disturbance {
            Disturbance::Stop | Disturbance::Snapshot => Command::new(qemu::PROGRAM),
            Disturbance::Migration => {
                let mut shell = Command::new("sh");
                shell.args(["-c", ONE_AFTER_ANOTHER, "sh"]);
                shell.arg(self.migrated()).arg(qemu::PROGRAM);
                shell
            }
        }
    }

    /// What the QEMU needs besides whose machine is disturbed, and which finds us at `address`.
    pub(crate) fn arguments(&self, address: &str) -> Vec<String> {
        let mut arguments = vec!["-qmp".into(), address.into()];
        if self.disturbance == Disturbance::Snapshot {
            // A snapshot lives in a disk, which no device shows to the machine. QEMU puts a
            // temporary file over nothing.
            let disk = "if=none,id=snapshots,file=null-co://,format=raw,snapshot=on";
            arguments.extend(["-drive".into(), disk.into()]);
        }
        arguments
    }

    /// Disturbs the machine, which runs when this returns.
    pub(crate) fn disturb(&mut self) {
        let outcome = match self.outcome {
            None => self.run(),
            Some(_) => Err(anyhow!("the kernel was ready to be stopped twice")),
        };
        self.outcome = Some(outcome);
    }

    /// The verdict on a boot that has ended, which is `verdict` if the machine was disturbed.
    pub(crate) fn judge(&self, verdict: Verdict) -> Verdict {
        match (&self.outcome, verdict) {
            // A machine that then stands still for ever is what follows.
            (Some(Err(error)), _) => {
                Verdict::Fail(format!("the machine was not disturbed: {error:#}"))
            }
            (None, Verdict::Pass) => {
                Verdict::Fail("the kernel did not get ready to be stopped".into())
            }
            (_, verdict) => verdict,
        }
    }

    fn run(&self) -> anyhow::Result<()> {
        let mut monitor = Monitor::open(self.accept()?, PATIENCE)?;
        self.direct(&mut monitor).inspect_err(|_| {
            // The machine may stand still; if this fails too, the boot ends as one that hangs.
            let _ = monitor.execute("quit", json!({}));
        })
    }

    fn direct(&self, monitor: &mut Monitor) -> anyhow::Result<()> {
        monitor.execute("stop", json!({}))?;
        match self.disturbance {
            Disturbance::Stop => thread::sleep(STANDSTILL),
            Disturbance::Snapshot => {
                monitor.execute_line("savevm before")?;
                // Otherwise it is QEMU's end, by `-no-reboot`.
                monitor.execute("set-action", json!({ "reboot": "reset" }))?;
                monitor.execute("system_reset", json!({}))?;
                monitor.wait_for("RESET")?;
                monitor.execute("set-action", json!({ "reboot": "shutdown" }))?;
                thread::sleep(STANDSTILL);
                monitor.execute_line("loadvm before")?;
            }
            Disturbance::Migration => {
                let file = self.migrated();
                let file = file.display();
                monitor.execute("migrate", json!({ "uri": format!("exec:cat > '{file}'") }))?;
                monitor.wait_for_status("query-migrate", "completed")?;
                monitor.execute("quit", json!({}))?;
                thread::sleep(STANDSTILL);
                *monitor = Monitor::open(self.accept()?, PATIENCE)?;
                let source = json!({ "uri": format!("exec:cat '{file}'") });
                monitor.execute("migrate-incoming", source)?;
                monitor.wait_for_status("query-status", "paused")?;
            }
        }
        monitor.execute("cont", json!({}))?;
        Ok(())
    }

    fn accept(&self) -> anyhow::Result<UnixStream> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => return Ok(stream),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if Instant::now() >= deadline => bail!("QEMU does not open its monitor"),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;

    #[test]
    fn a_pass_needs_a_disturbance_that_went_well() {
        let mut disturber = Disturber::new(Disturbance::Stop).unwrap();
        let reason = "the kernel did not get ready to be stopped";
        assert_eq!(disturber.judge(Verdict::Pass), Verdict::Fail(reason.into()));
        let hung = || Verdict::Fail("hung".into());
        assert_eq!(disturber.judge(hung()), hung());

        disturber.outcome = Some(Ok(()));
        assert_eq!(disturber.judge(Verdict::Pass), Verdict::Pass);
        assert_eq!(disturber.judge(hung()), hung());

        disturber.disturb();
        let reason = "the machine was not disturbed: the kernel was ready to be stopped twice";
        assert_eq!(disturber.judge(Verdict::Pass), Verdict::Fail(reason.into()));
        assert_eq!(disturber.judge(hung()), Verdict::Fail(reason.into()));
    }

    #[test]
    fn a_machine_goes_on_in_a_second_qemu_if_the_first_has_left_a_file() {
        let disturber = Disturber::new(Disturbance::Migration).unwrap();
        let first = disturber.program();
        let script: Vec<_> = first.get_args().map(OsStr::to_os_string).collect();
        // Another program in QEMU's place, that says what it is told.
        let run = || {
            let mut shell = Command::new(first.get_program());
            shell
                .args(&script[..4])
                .args(["sh", "-c", "echo \"$@\"; exit 5", "sh", "-m"]);
            shell.output().unwrap()
        };
        let output = run();
        assert_eq!(output.status.code(), Some(5));
        assert_eq!(output.stdout, b"-m\n");
        fs::write(disturber.migrated(), "").unwrap();
        let output = run();
        assert_eq!(output.status.code(), Some(5));
        assert_eq!(output.stdout, b"-m\n-m -incoming defer\n");
        let directory = disturber.directory.path().to_path_buf();
        drop(disturber);
        assert!(!directory.exists(), "nothing is left behind");
    }
}
