//! The client of xenstore against a model of xenstored that splits, reorders and lies.

mod daemon;
mod honest;
mod hostile;
mod late;
mod moved;
mod shutdown_request;

use std::cell::RefCell;
use std::rc::Rc;

use daemon::{Daemon, Handle, SharedPage};
use proptest::test_runner::Config;
use pvops_backend_xen::xenstore::{Error, PAYLOAD_MAX, Xenstore};

/// Memory for a client, and the daemon at its other end.
struct Lab {
    daemon: Rc<RefCell<Daemon>>,
    page: Rc<SharedPage>,
    message: Box<[u8; PAYLOAD_MAX]>,
    queue: Vec<u8>,
}

impl Lab {
    fn new() -> Self {
        Self::with(1, 0, 8192)
    }

    /// With a seed for what is random, the indexes of the rings, and bytes for events.
    fn with(seed: u64, start: u32, queue: usize) -> Self {
        let daemon = Daemon::new(seed, start);
        Lab {
            page: daemon.page.clone(),
            daemon: Rc::new(RefCell::new(daemon)),
            message: Box::new([0; PAYLOAD_MAX]),
            queue: vec![0; queue],
        }
    }

    fn connect(&mut self) -> Result<Xenstore<'_, Handle>, Error> {
        let events = Handle(self.daemon.clone());
        // SAFETY: the page lives as long as the lab, is aligned and accessed by atomics only, and only
        // one client is on it.
        unsafe {
            Xenstore::new(
                self.page.pointer(),
                events,
                &mut self.message,
                &mut self.queue,
            )
        }
    }
}

fn cases(count: u32) -> Config {
    Config {
        cases: if cfg!(miri) { 3 } else { count },
        failure_persistence: None,
        ..Config::default()
    }
}
