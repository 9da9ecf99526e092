//! The console of a domain.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Types a line there, and waits until the kernel has said that it has read it. It is the program that
/// `xl console` becomes, which takes input only from a terminal if it is not told otherwise.
pub(crate) fn type_line(domain: u32, line: &str) -> io::Result<()> {
    let mut console = Command::new("xenconsole")
        .args([&domain.to_string(), "--type", "pv", "--interactive"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut typed), Some(shown)) = (console.stdin.take(), console.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    writeln!(typed, "{line}")?;
    let answer = format!("has read {line}");
    let mut shown = BufReader::new(shown).split(b'\n').map_while(Result::ok);
    let answered = shown.any(|line| String::from_utf8_lossy(&line).contains(&answer));
    console.kill()?;
    console.wait()?;
    match answered {
        true => Ok(()),
        false => Err(io::Error::other("the console ended without an answer")),
    }
}
