//! A sign of life for whoever waits longer than two seconds at a terminal.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How long a silent wait may be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A spinner that turns, and counts seconds, until it is dropped.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// Shows a spinner at once; nothing when standard error is not a terminal.
    pub(crate) fn start(message: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message.to_string());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Runs `work`, which prints nothing, with a spinner once it takes longer than
/// [`PATIENCE`].
pub(crate) fn during<T>(message: &str, work: impl FnOnce() -> T) -> T {
    let _waiting = std::io::stderr()
        .is_terminal()
        .then(|| Waiting::start(message));
    work()
}

struct Waiting {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    fn start(message: &str) -> Self {
        let (done, wait) = channel();
        let message = message.to_string();
        let thread = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _spinner = Spinner::start(&message);
                // Ends when the sender is dropped.
                let _ = wait.recv();
            }
        });
        Self {
            done: Some(done),
            thread: Some(thread),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already.
            let _ = thread.join();
        }
    }
}
