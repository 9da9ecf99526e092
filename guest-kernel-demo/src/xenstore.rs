//! The connection to xenstored, where this kernel is a domain of Xen that has one.

use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use pvops_backend_xen as xen;
use pvops_backend_xen::event_channel::{self, Port};
use pvops_backend_xen::xenstore::{Error, PAYLOAD_MAX, Transaction, Xenstore};
use pvops_backend_xen::{GaveUp, PeerEvents};
use pvops_core::boot_info::CommandLine;
use pvops_core::time;
use spin::Mutex;

use crate::frames;
use crate::platform::Platform;

/// The connection.
pub(crate) type Store = Xenstore<'static, Events>;

/// Connects, if there is something to connect to, and returns the command line: the loader's, or if it
/// gave none, the toolstack's. Once, after the backend is installed.
pub(crate) fn start(command_line: CommandLine<'static>) -> CommandLine<'static> {
    connect();
    match command_line.as_bytes() {
        [] => toolstack_command_line().unwrap_or(command_line),
        _ => command_line,
    }
}

fn connect() {
    let Ok(ring) = xen::xenstore_ring(&Platform) else {
        return;
    };
    let (Some((_, message)), Some((_, queue))) = (frames::allocate(), frames::allocate()) else {
        return;
    };
    set_deadline();
    // SAFETY: the frames are nobody else's, and for good; so is the page of the ring.
    *STORE.lock() = unsafe {
        let message = &mut *message.as_ptr().cast::<[u8; PAYLOAD_MAX]>();
        let queue = slice::from_raw_parts_mut(queue.as_ptr(), PAYLOAD_MAX);
        Xenstore::new(ring.page, Events(ring.port), message, queue).ok()
    };
}

/// Goes on after the domain has moved, with these watches: node and token. `None` if there is no connection.
pub(crate) fn resume(watches: &[(&str, &str)]) -> Option<Result<(), Error>> {
    let ring = xen::xenstore_ring(&Platform).ok()?;
    let watches = watches.iter().copied();
    // SAFETY: as in `start`.
    with(|store| unsafe { store.resume(ring.page, Events(ring.port), watches) })
}

/// Whether there is a connection.
pub(crate) fn is_there() -> bool {
    STORE.lock().is_some()
}

/// Calls `function` with the connection, if there is one. What it asks for is waited for half a minute at
/// most, all in all.
pub(crate) fn with<R>(function: impl FnOnce(&mut Store) -> R) -> Option<R> {
    let mut store = STORE.lock();
    set_deadline();
    store.as_mut().map(function)
}

/// What the toolstack has written for a kernel that can't have a command line.
fn toolstack_command_line() -> Option<CommandLine<'static>> {
    with(|store| {
        let value = store.read(Transaction::NONE, "pvops/command-line").ok()?;
        let (_, copy) = frames::allocate()?;
        // SAFETY: the frame is nobody else's, for good, and as long as the longest value.
        let copy = unsafe { slice::from_raw_parts_mut(copy.as_ptr(), value.len()) };
        copy.copy_from_slice(value);
        Some(CommandLine::new(copy))
    })?
}

static STORE: Mutex<Option<Store>> = Mutex::new(None);

/// The port of the connection. It is looked at now and then instead of taking events, so that it works
/// without interrupts.
pub(crate) struct Events(Port);

impl PeerEvents for Events {
    fn notify(&mut self) {
        // An error is a port that is gone; then there will be no answer.
        let _ = event_channel::send(self.0);
    }

    fn wait(&mut self) -> Result<(), GaveUp> {
        const INTERVAL_NS: u64 = 1_000_000;
        if time::clock_ns() > DEADLINE_NS.load(Ordering::Relaxed) {
            return Err(GaveUp);
        }
        xen::poll_until(xen::system_time_ns() + INTERVAL_NS);
        Ok(())
    }
}

static DEADLINE_NS: AtomicU64 = AtomicU64::new(0);

fn set_deadline() {
    const PATIENCE_NS: u64 = 30_000_000_000;
    DEADLINE_NS.store(time::clock_ns() + PATIENCE_NS, Ordering::Relaxed);
}
