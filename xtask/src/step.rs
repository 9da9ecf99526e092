//! One line of `cargo xtask test`: what is checked, how it ended and how long it took.

use std::io::{self, Write};
use std::time::Instant;

use xshell::Cmd;

use crate::tally::Tally;
use crate::{progress, tests_output};

/// How a step ended.
pub(crate) enum End {
    /// With a remark, which may be empty.
    Passed(String),
    /// With the reasons, by lines.
    Failed(String),
    /// With the reason.
    Skipped(String),
}

/// Runs one step, which prints nothing; an error is a failure.
pub(crate) fn run(
    title: &str,
    tally: &mut Tally,
    out: &mut dyn Write,
    work: impl FnOnce() -> anyhow::Result<End>,
) -> io::Result<()> {
    let start = begin(title, out)?;
    let end =
        progress::during(title, work).unwrap_or_else(|error| End::Failed(format!("{error:#}")));
    match end {
        End::Passed(remark) => {
            say_end("ok", &remark, start, out)?;
            tally.pass(1);
        }
        End::Failed(reasons) => {
            say_end("FAILED", "", start, out)?;
            writeln!(out, "{}", reasons.trim_end())?;
            tally.fail(1, title.into());
        }
        End::Skipped(reason) => {
            writeln!(out, "skipped")?;
            tally.skip(format!("{title}: {reason}"));
        }
    }
    Ok(())
}

/// Says what begins.
pub(crate) fn begin(title: &str, out: &mut dyn Write) -> io::Result<Instant> {
    write!(out, "{title} ... ")?;
    out.flush()?;
    Ok(Instant::now())
}

/// Says how what began at `start` has ended.
pub(crate) fn say_end(
    word: &str,
    remark: &str,
    start: Instant,
    out: &mut dyn Write,
) -> io::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    match remark {
        "" => writeln!(out, "{word} ({seconds:.1} s)"),
        remark => writeln!(out, "{word}: {remark} ({seconds:.1} s)"),
    }
}

/// A cargo command that must succeed.
pub(crate) struct CargoStep<'a> {
    pub(crate) title: &'static str,
    pub(crate) command: Cmd<'a>,
    /// Whether it runs tests, which count for themselves.
    pub(crate) tests: bool,
}

impl CargoStep<'_> {
    /// Shows the command's output only when it failed, but then all of it.
    pub(crate) fn run(self, tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<()> {
        let start = begin(self.title, out)?;
        let shown = self.command.to_string();
        let command = self.command.ignore_status();
        let output = progress::during(self.title, || command.output())?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let counts = tests_output::count(&stdout);
        let failed_tests = counts.failed;
        let tests_run = counts.passed + failed_tests > 0;
        let good = output.status.success() && failed_tests == 0 && (tests_run || !self.tests);
        let remark = match (good, self.tests) {
            (true, true) => format!("{} passed", counts.passed),
            _ => String::new(),
        };
        say_end(if good { "ok" } else { "FAILED" }, &remark, start, out)?;
        if self.tests {
            tally.pass(counts.passed);
            for test in counts.ignored {
                tally.skip(format!("{}: {test}", self.title));
            }
        } else if good {
            tally.pass(1);
        }
        if !good {
            tally.fail(failed_tests.max(1), self.title.into());
            writeln!(out, "$ {shown}")?;
            out.write_all(&output.stdout)?;
            out.write_all(&output.stderr)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn shown(work: anyhow::Result<End>) -> String {
        let (mut out, mut tally) = (Vec::new(), Tally::default());
        run("looking", &mut tally, &mut out, || work).unwrap();
        tally.close(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        // The time is not always the same.
        text.replace("0.0 s", "N s")
    }

    #[test]
    fn each_end_has_its_line_and_its_count() {
        assert_eq!(
            shown(Ok(End::Passed("3 things".into()))),
            "looking ... ok: 3 things (N s)\n1 passed, 0 failed, 0 skipped\n"
        );
        assert_eq!(
            shown(Ok(End::Failed("one\ntwo\n".into()))),
            "looking ... FAILED (N s)\none\ntwo\nfailed: looking\n0 passed, 1 failed, 0 skipped\n"
        );
        assert_eq!(
            shown(Err(anyhow!("no file"))),
            "looking ... FAILED (N s)\nno file\nfailed: looking\n0 passed, 1 failed, 0 skipped\n"
        );
        assert_eq!(
            shown(Ok(End::Skipped("no tool".into()))),
            "looking ... skipped\nskipped: looking: no tool\n0 passed, 0 failed, 1 skipped\n"
        );
    }
}
