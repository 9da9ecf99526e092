//! A domain from its making to its end.

use std::fs;
use std::io;
use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::requests::act;
use crate::toolstack::{self, Word, xl};
use crate::xenstore::Store;

/// A domain that the kernel is run as.
pub(crate) struct Domain {
    name: String,
    store: Store,
    /// For a kernel that can't have a command line.
    command_line: String,
    /// How often xl is to restart it.
    restarts: u32,
    /// The last request that was taken up.
    last_request: u32,
}

/// What becomes of a domain.
enum Outcome {
    /// It ended, in this way.
    Ended(String),
    /// It is in [`IMAGE`].
    Saved,
}

/// What is waited for.
enum Event {
    Said(Word),
    /// xl attends to the domain no more.
    ToolstackEnded,
    /// The domain with this number may have asked for something.
    Asked(u32),
}

const IMAGE: &str = "/image/saved";

impl Domain {
    pub(crate) fn new(name: String) -> io::Result<Self> {
        let configuration = fs::read_to_string(configuration(&name))?;
        Ok(Self {
            store: Store::connect()?,
            command_line: fs::read_to_string(format!("/guest/{name}.cmdline"))?,
            restarts: configuration.contains("on_reboot=\"restart\"").into(),
            last_request: 0,
            name,
        })
    }

    /// Runs it until it ends, and says how.
    pub(crate) fn run(&mut self) -> io::Result<String> {
        let mut outcome = self.attend(&["create", "-F", "-p", &configuration(&self.name)])?;
        loop {
            match outcome {
                Outcome::Ended(end) => return Ok(end),
                Outcome::Saved => outcome = self.attend(&["restore", "-F", "-p", IMAGE])?,
            }
        }
    }

    /// Has xl make the domain by these words, and does what it asks for.
    fn attend(&mut self, words: &[&str]) -> io::Result<Outcome> {
        let (sender, events) = channel();
        let mut toolstack = attend(words, sender.clone())?;
        let (mut number, mut shut_down, mut refusal) = (None, None, None);
        for event in &events {
            match event {
                Event::Said(Word::Made(domain)) => {
                    // xl itself lets one run that it has restarted.
                    if number.replace(domain).is_some() {
                        self.last_request = 0;
                        self.prepare(domain)?;
                    } else {
                        self.prepare(domain)?;
                        xl(&["unpause", &self.name])?;
                    }
                    watch(domain, sender.clone())?;
                }
                Event::Said(Word::ShutDown(reason)) => shut_down = Some(reason),
                Event::Said(Word::Error(error)) => refusal = refusal.or(Some(error)),
                // Of a domain that stands still, xl says so and no more: it goes on, or is being saved.
                Event::ToolstackEnded if shut_down == Some(SUSPEND) => {}
                Event::ToolstackEnded => break,
                Event::Asked(domain) if number == Some(domain) => {
                    if let Some(outcome) = self.serve(domain)? {
                        toolstack.wait()?;
                        return Ok(outcome);
                    }
                }
                Event::Asked(_) => {}
            }
        }
        toolstack.wait()?;
        Ok(Outcome::Ended(match (shut_down, number, refusal) {
            (Some(reason), ..) => word(reason),
            (None, None, Some(error)) => format!("refused, {error}"),
            (None, ..) => "lost by xl".into(),
        }))
    }

    /// Writes what a domain is to find that has just been made.
    fn prepare(&mut self, domain: u32) -> io::Result<()> {
        let answer = match self.last_request {
            0 => "0 ready".into(),
            // The domain was restored.
            request => format!("{request} done"),
        };
        self.store
            .write(&node(domain, "pvops/command-line"), &self.command_line)?;
        self.store.write(&node(domain, ANSWER), &answer)
    }

    /// Does what the domain asks for by its node data/request, "NUMBER WORDS", and answers by pvops/answer,
    /// "NUMBER RESULT"; if this domain is left, its outcome.
    fn serve(&mut self, domain: u32) -> io::Result<Option<Outcome>> {
        let Ok(asked) = self.store.read(&node(domain, REQUEST)) else {
            return Ok(None);
        };
        let words: Vec<_> = asked.split_whitespace().collect();
        let Some((number, words)) = words.split_first() else {
            return Ok(None);
        };
        let number = number.parse().unwrap_or(0);
        if number == self.last_request {
            return Ok(None);
        }
        self.last_request = number;
        let result = match words {
            ["save"] => match xl(&["save", &self.name, IMAGE]) {
                Ok(()) => return Ok(Some(Outcome::Saved)),
                Err(error) => Err(error),
            },
            ["end"] => xl(&[self.next_end(), &self.name]).map(|()| "done".into()),
            words => act(&self.name, domain, words),
        };
        let result = result.unwrap_or_else(|error| error.to_string());
        let answer = format!("{number} {}", result.replace(['\n', '"', '\\'], " "));
        // The domain may have gone meanwhile.
        let _ = self.store.write(&node(domain, ANSWER), &answer);
        Ok(None)
    }

    /// The word of xl by which a domain ends that has nothing more to do.
    fn next_end(&mut self) -> &'static str {
        match self.restarts.checked_sub(1) {
            Some(left) => {
                self.restarts = left;
                "reboot"
            }
            None => "shutdown",
        }
    }
}

const REQUEST: &str = "data/request";
const ANSWER: &str = "pvops/answer";

fn configuration(name: &str) -> String {
    format!("/guest/{name}.cfg")
}

fn node(domain: u32, path: &str) -> String {
    format!("/local/domain/{domain}/{path}")
}

/// Has xl make a domain, and passes on what it says.
fn attend(words: &[&str], sender: Sender<Event>) -> io::Result<Child> {
    let (toolstack, said) = toolstack::attend(words)?;
    thread::spawn(move || {
        for word in said {
            // Nobody waits for it any more if that fails.
            let _ = sender.send(Event::Said(word));
        }
        let _ = sender.send(Event::ToolstackEnded);
    });
    Ok(toolstack)
}

/// Passes on when the domain asks for something.
fn watch(domain: u32, sender: Sender<Event>) -> io::Result<()> {
    let store = Store::connect()?;
    thread::spawn(move || {
        let asked = || sender.send(Event::Asked(domain)).is_ok();
        store.watch(&node(domain, REQUEST), asked)
    });
    Ok(())
}

/// `SHUTDOWN_suspend` of Xen's public/sched.h.
const SUSPEND: u32 = 2;

/// The name of a `SHUTDOWN_*` there.
fn word(reason: u32) -> String {
    match reason {
        0 => "poweroff".into(),
        1 => "reboot".into(),
        SUSPEND => "suspend".into(),
        3 => "crash".into(),
        _ => format!("reason {reason}"),
    }
}
