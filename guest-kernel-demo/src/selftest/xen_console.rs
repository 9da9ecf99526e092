//! The console that Xen's toolstack gives a domain.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_xen::console_ring::Console;
use pvops_backend_xen::event_channel::{self as events, Port};
use pvops_backend_xen::{self as xen, GaveUp, PeerEvents, XenError, system_time_ns};

use super::Outcome;
use super::xen_domain::{answer_to, comes, refused, send};
use crate::console::println;
use crate::platform::Platform;
use crate::text::{Text, ensure, text};

/// A line that somebody types in dom0 arrives, and what is answered is seen there.
pub(super) fn typed_line() -> Outcome {
    const WORD: &str = "pvops-line";
    let mut console = DomainConsole::open()?;
    let request = send(text!("console {WORD}"))?;
    let (mut line, mut length) = ([0; 64], 0);
    let mut failure = None;
    let is_whole = comes(|| {
        match console.read(&mut line[length..]) {
            Ok(count) => length += count,
            Err(error) => failure = Some(error),
        }
        failure.is_some() || length == line.len() || line[..length].ends_with(b"\n")
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let line = line[..length].trim_ascii_end();
    ensure!(
        is_whole && line == WORD.as_bytes(),
        "{} was typed instead of {WORD}",
        line.escape_ascii()
    );
    console.say(text!("the kernel has read {WORD}"))?;
    let answer = answer_to(request)?;
    ensure!(answer.as_bytes() == b"answered", "dom0 says: {answer}");
    console.close()
}

enum DomainConsole {
    /// A PVH or HVM domain has the ring to itself.
    Ring(Console<'static>, Port),
    /// In a PV domain it is the console of the ops.
    OfOps,
}

static CAME: AtomicU64 = AtomicU64::new(0);

impl DomainConsole {
    fn open() -> Result<Self, Text> {
        let ring = match xen::console_ring(&Platform) {
            Err(XenError::NOT_FOUND) => return Ok(Self::OfOps),
            ring => ring.map_err(refused)?,
        };
        events::bind_given(ring.port, |_| {
            CAME.fetch_add(1, Ordering::Relaxed);
        })
        .map_err(refused)?;
        // SAFETY: the page is mapped for good, and nobody else has it.
        let console = unsafe { Console::new(ring.page) };
        Ok(Self::Ring(console, ring.port))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Text> {
        let count = match self {
            Self::Ring(console, port) => {
                let count = console.read(bytes);
                if count.is_ok_and(|count| count > 0) {
                    events::send(*port).map_err(refused)?;
                }
                count
            }
            #[cfg(target_arch = "x86_64")]
            Self::OfOps => xen::pv::read_console(bytes),
            #[cfg(target_arch = "x86")]
            Self::OfOps => Ok(0),
        };
        count.map_err(|error| text!("the console: {error}"))
    }

    fn say(&mut self, line: Text) -> Result<(), Text> {
        match self {
            Self::Ring(console, port) => {
                let line = text!("{line}\n");
                let mut peer = Peer(*port, system_time_ns() + PATIENCE_NS);
                let written = console.write_all(line.as_bytes(), &mut peer);
                written.map_err(|error| text!("the console: {error}"))
            }
            Self::OfOps => {
                println!("{line}");
                Ok(())
            }
        }
    }

    /// Leaves the port to dom0.
    fn close(self) -> Outcome {
        let Self::Ring(console, port) = self else {
            return Ok(text!("read and answered, by the console of the ops"));
        };
        ensure!(
            comes(|| console.unread() == Ok(0)),
            "nobody reads what was written"
        );
        let came = CAME.load(Ordering::Relaxed);
        ensure!(came > 0, "no event said that something was typed");
        events::mask(port);
        Ok(text!("read and answered, {port:?}, {came} events"))
    }
}

const PATIENCE_NS: u64 = 60_000_000_000;

/// Who reads the console, and until when it is waited for.
struct Peer(Port, u64);

impl PeerEvents for Peer {
    fn notify(&mut self) {
        // An error is a port that is gone; then nobody reads.
        let _ = events::send(self.0);
    }

    fn wait(&mut self) -> Result<(), GaveUp> {
        const NAP_NS: u64 = 1_000_000;
        if system_time_ns() > self.1 {
            return Err(GaveUp);
        }
        xen::poll_until(system_time_ns() + NAP_NS);
        Ok(())
    }
}
