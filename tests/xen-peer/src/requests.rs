//! What a domain asks for, and stays as it is.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::console;
use crate::exchange::exchange;
use crate::toolstack::xl;

/// Does what domain `name`, whose number is `domain`, asks for by `words`; what it is to be told.
pub(crate) fn act(name: &str, domain: u32, words: &[&str]) -> io::Result<String> {
    /// Longer than any other standstill, with something to spare.
    const PAUSE: Duration = Duration::from_secs(1);
    match *words {
        ["echo", word] => return Ok(word.into()),
        ["peer", reference, port, rounds] => {
            exchange(
                domain,
                number(reference)?,
                number(port)?,
                number(rounds)?.into(),
            )?;
            return Ok(format!("good {rounds}"));
        }
        // A copy is made, and the domain goes on.
        ["checkpoint"] => xl(&["save", "-c", name, "/dev/null"])?,
        ["pause"] => {
            xl(&["pause", name])?;
            sleep(PAUSE);
            xl(&["unpause", name])?;
        }
        ["console", line] => {
            console::type_line(domain, line)?;
            return Ok("answered".into());
        }
        ["mem-set", kib] => xl(&["mem-set", name, &format!("{kib}k")])?,
        [word @ ("reboot" | "shutdown")] => xl(&[word, name])?,
        _ => return Err(io::Error::other("no such request")),
    }
    Ok("done".into())
}

fn number(word: &str) -> io::Result<u32> {
    word.parse().map_err(io::Error::other)
}
