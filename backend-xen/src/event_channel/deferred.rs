//! Ports whose events were taken in a PV guest's upcall, for the handler of the vector lent to see to.
//!
//! Each CPU has a list of its own, through the ports' slots; only that CPU uses it, interrupts off.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use super::HANDLERS;
use super::handlers::{END_OF_LIST, NOT_LISTED};
use super::kinds::Port;

/// Puts a port at the end of this CPU's list, if it is not there.
pub(crate) fn put(cpu: usize, port: Port) {
    let (Some(list), Some(slot)) = (LISTS.get(cpu), HANDLERS.get(port)) else {
        return;
    };
    if slot.next.load(Ordering::Relaxed) != NOT_LISTED {
        return;
    }
    slot.next.store(END_OF_LIST, Ordering::Relaxed);
    let last = Port(list.last.swap(port.0, Ordering::Relaxed));
    let before = match list.first.load(Ordering::Relaxed) {
        NONE => None,
        _ => HANDLERS.get(last),
    };
    before
        .map_or(&list.first, |before| &before.next)
        .store(port.0, Ordering::Relaxed);
}

/// Calls the handlers of the ports in this CPU's list, first come, first served.
pub(crate) fn run(cpu: usize) {
    let Some(list) = LISTS.get(cpu) else { return };
    // Ends: no port comes into the list meanwhile, as interrupts are off.
    loop {
        let port = Port(list.first.load(Ordering::Relaxed));
        let Some(slot) = HANDLERS.get(port).filter(|_| port.0 != NONE) else {
            return;
        };
        let next = slot.next.swap(NOT_LISTED, Ordering::Relaxed);
        let next = if next == END_OF_LIST { NONE } else { next };
        list.first.store(next, Ordering::Relaxed);
        // Closed meanwhile, perhaps.
        if let Some(handler) = slot.handler() {
            handler(port);
        }
    }
}

/// Empties all lists, of ports that are [in none](super::handlers::Handlers::clear) any more.
pub(super) fn clear() {
    LISTS
        .iter()
        .for_each(|list| list.first.store(NONE, Ordering::Relaxed));
}

/// Port 0 is no port.
const NONE: u32 = 0;

struct List {
    first: AtomicU32,
    /// Has a meaning while there is a first.
    last: AtomicU32,
}

static LISTS: [List; MAX_CPUS] = [const {
    List {
        first: AtomicU32::new(NONE),
        last: AtomicU32::new(NONE),
    }
}; MAX_CPUS];
