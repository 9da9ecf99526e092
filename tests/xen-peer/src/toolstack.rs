//! xl, Xen's toolstack.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

/// Runs it to its end. What it says is in the error, if it fails.
pub(crate) fn xl(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("xl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find(|line| line.contains("error:"));
    Err(io::Error::other(error.unwrap_or(&said).to_owned()))
}

/// Has it make a domain by `xl create` or `xl restore`, and attend to that in the foreground (`-F`).
pub(crate) fn attend(arguments: &[&str]) -> io::Result<(Child, Said)> {
    let mut child = Command::new("xl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, Said(BufReader::new(said))))
}

/// What it says while it attends to a domain.
pub(crate) struct Said(BufReader<ChildStderr>);

/// What can be of interest there.
#[derive(Debug, PartialEq)]
pub(crate) enum Word {
    /// The domain has been made, with this number.
    Made(u32),
    /// It has shut down, by a reason that is `SHUTDOWN_*` of Xen's public/sched.h.
    ShutDown(u32),
    /// It can't be made.
    Error(String),
}

impl Iterator for Said {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.0.read_until(b'\n', &mut line) {
                Err(_) | Ok(0) => return None,
                Ok(_) => {}
            }
            if let Some(word) = word(&String::from_utf8_lossy(&line)) {
                return Some(word);
            }
        }
    }
}

fn word(line: &str) -> Option<Word> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        ["Waiting", "for", "domain", _, "(domid", number, ..] => {
            number.trim_end_matches(')').parse().ok().map(Word::Made)
        }
        [
            "Domain",
            _,
            "has",
            "shut",
            "down,",
            "reason",
            "code",
            reason,
            ..,
        ] => reason.parse().ok().map(Word::ShutDown),
        _ if line.contains("error:") => Some(Word::Error(line.trim().into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_interest() {
        for (line, wanted) in [
            ("Parsing config from /guest/pv.cfg\n", None),
            (
                "Waiting for domain pv (domid 12) to die [pid 114]\n",
                Some(Word::Made(12)),
            ),
            (
                "Domain 1 has shut down, reason code 2 0x2\n",
                Some(Word::ShutDown(2)),
            ),
            (
                "libxl: error: a: b\n",
                Some(Word::Error("libxl: error: a: b".into())),
            ),
        ] {
            assert_eq!(word(line), wanted, "{line}");
        }
    }
}
