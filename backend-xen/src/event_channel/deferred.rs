//! Ports whose events were taken in a PV guest's upcall, for the handler of the vector lent to see to.
//!
//! Each CPU has a list of its own, through the ports' slots; only that CPU uses it, interrupts off.

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::cpu_set::MAX_CPUS;

use super::handlers::{END_OF_LIST, NOT_LISTED};
use super::kinds::Port;
use super::{HANDLERS, Handler, abi};

/// Puts a port at the end of this CPU's list, if it is in none. One that moves from CPU to CPU may be in the
/// list of another, which sees to this event, too.
pub(crate) fn put(cpu: usize, port: Port) {
    let (Some(list), Some(slot)) = (LISTS.get(cpu), HANDLERS.get(port)) else {
        return;
    };
    let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
    let listed = slot
        .next
        .compare_exchange(NOT_LISTED, END_OF_LIST, success, failure);
    if listed.is_err() {
        return;
    }
    let last = Port(list.last.swap(port.0, Ordering::Relaxed));
    let before = match list.first.load(Ordering::Relaxed) {
        NONE => None,
        _ => HANDLERS.get(last),
    };
    before
        .map_or(&list.first, |before| &before.next)
        .store(port.0, Ordering::Relaxed);
}

/// Calls the handlers of the ports in this CPU's list, first come, first served. The events of those that
/// were masked meanwhile wait.
pub(crate) fn run(cpu: usize) {
    let abi = abi::chosen();
    empty(cpu, |port, handler| {
        match abi.filter(|abi| abi.is_masked(port)) {
            None => handler(port),
            Some(abi) => abi.put_back(port),
        }
    });
}

/// Gives the ports in this CPU's list their events back: it goes off, and others may be given them.
pub(crate) fn put_back(cpu: usize) {
    if let Some(abi) = abi::chosen() {
        empty(cpu, |port, _| abi.put_back(port));
    }
}

/// Takes all ports from this CPU's list, in their order, those without handlers for nothing: they were
/// closed meanwhile.
fn empty(cpu: usize, mut visit: impl FnMut(Port, Handler)) {
    let Some(list) = LISTS.get(cpu) else { return };
    // Ends: no port comes into the list meanwhile, as interrupts are off.
    loop {
        let port = Port(list.first.load(Ordering::Relaxed));
        let Some(slot) = HANDLERS.get(port).filter(|_| port.0 != NONE) else {
            return;
        };
        let next = slot.next.swap(NOT_LISTED, Ordering::AcqRel);
        let next = if next == END_OF_LIST { NONE } else { next };
        list.first.store(next, Ordering::Relaxed);
        if let Some(handler) = slot.handler() {
            visit(port, handler);
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

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::super::handlers::tests::Frames;
    use super::super::race::race;
    use super::*;
    use crate::vcpu::VcpuId;

    /// Two CPUs may take an event of the same port while it moves from one to the other.
    #[test]
    fn a_port_that_two_cpus_list_at_the_same_time_is_in_one_list() {
        const PORT: Port = Port(7);
        static CALLS: AtomicU64 = AtomicU64::new(0);
        fn count(_: Port) {
            CALLS.fetch_add(1, Ordering::Relaxed);
        }
        let slot = HANDLERS.make(&Frames(AtomicU64::new(1)), PORT).unwrap();
        slot.set(VcpuId(0), count);
        race(
            || CALLS.store(0, Ordering::Relaxed),
            || put(0, PORT),
            || put(1, PORT),
            || {
                run(0);
                run(1);
                assert_eq!(CALLS.load(Ordering::Relaxed), 1);
            },
        );
        slot.clear();
    }
}
