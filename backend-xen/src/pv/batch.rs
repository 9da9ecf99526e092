//! Changes that Xen makes in one call: what lazy mode puts off.
//!
//! Each CPU has a queue of calls. Changes to page tables that follow each other become one call with a
//! longer list, and all calls together one multicall. Xen's public/xen.h, `multicall_entry`.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::lazy::LazyDepth;

use super::page_table_calls::{Extended, FLUSH_PAGE, SELF, Update};
use super::upcall_mask;
use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};

/// Changes an entry of a page table, now or later.
///
/// # Safety
///
/// What it maps must be right for everybody who uses the table.
pub(super) unsafe fn update(update: Update) {
    put(
        |queue| queue.update(update),
        || {
            // SAFETY: as the caller vouches.
            unsafe { super::page_table_calls::update(&[update]) }
        },
    );
}

/// Does an operation on page tables or TLBs, now or later.
///
/// # Safety
///
/// As for [`update`]; what it leads to must stay until it is done.
pub(super) unsafe fn extended(operation: Extended) {
    put(
        |queue| queue.extended(operation),
        || {
            // SAFETY: as the caller vouches.
            unsafe { super::page_table_calls::extended(&[operation]) }
        },
    );
}

/// Maps `entry` at `address` on the tables in use, now or later.
///
/// # Safety
///
/// As for [`update`].
pub(super) unsafe fn update_mapping(address: usize, entry: u64) {
    let arguments = [address as u64, entry, FLUSH_PAGE];
    // SAFETY: as the caller vouches.
    unsafe { call(HypercallNumber::UPDATE_VA_MAPPING, arguments) };
}

/// Makes any call, now or later.
///
/// # Safety
///
/// As for [`hypercall`]; and it must bear to be made later.
pub(super) unsafe fn call<const COUNT: usize>(number: HypercallNumber, arguments: [u64; COUNT]) {
    put(
        |queue| queue.call(number, &arguments),
        || {
            // SAFETY: as the caller vouches.
            unsafe { hypercall(number, arguments).map(|_| ()) }
        },
    );
}

/// Gives this CPU its queue; without one nothing is put off. `None` if the kernel has no memory for it.
pub(super) fn start(kernel: &dyn Kernel) -> Option<()> {
    let slot = QUEUES.get(kernel.cpu_index())?;
    if slot.load(Ordering::Relaxed).is_null() {
        let frame: NonNull<Queue> = kernel.shared_frame()?.cast();
        slot.store(frame.as_ptr(), Ordering::Relaxed);
    }
    Some(())
}

pub(super) unsafe extern "C" fn enter_lazy() {
    with_queue(|queue| queue.depth.enter());
}

pub(super) unsafe extern "C" fn leave_lazy() {
    with_queue(|queue| {
        if queue.depth.leave() {
            queue.flush();
        }
    });
}

pub(super) unsafe extern "C" fn flush_lazy() {
    with_queue(Queue::flush);
}

pub(super) unsafe extern "C" fn pause_lazy() {
    with_queue(|queue| {
        if queue.depth.pause() {
            queue.flush();
        }
    });
}

pub(super) unsafe extern "C" fn resume_lazy() {
    with_queue(|queue| queue.depth.resume());
}

static QUEUES: [AtomicPtr<Queue>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// Puts a change off, or makes it.
fn put(later: impl FnOnce(&mut Queue), now: impl FnOnce() -> Result<(), XenError>) {
    let mut now = Some(now);
    let mut later = Some(later);
    with_queue(|queue| {
        if queue.depth.is_lazy()
            && let Some(later) = later.take()
        {
            now = None;
            later(queue);
        }
    });
    if let Some(Err(error)) = now.map(|now| now()) {
        panic!("a change to page tables or of this CPU's state: {error}");
    }
}

/// Runs `body` on this CPU's queue, if there is one, with upcalls masked.
fn with_queue(body: impl FnOnce(&mut Queue)) {
    let Some(kernel) = pvops_core::kernel() else {
        return;
    };
    upcall_mask::masked(|| {
        let queue = QUEUES
            .get(kernel.cpu_index())
            .and_then(|slot| NonNull::new(slot.load(Ordering::Relaxed)));
        if let Some(mut queue) = queue {
            // SAFETY: the queue is this CPU's, which is not interrupted, and the frame is zeroed memory,
            // as a queue may be.
            body(unsafe { queue.as_mut() });
        }
    });
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Call {
    number: u64,
    result: i64,
    arguments: [u64; 6],
}

impl Call {
    /// Makes it alone: a multicall of one would cost more. No call that is put off has six arguments.
    fn make(&self) {
        let [first, second, third, fourth, fifth, _] = self.arguments;
        let arguments = [first, second, third, fourth, fifth];
        // SAFETY: whoever has put it off has vouched for it.
        if let Err(error) = unsafe { hypercall(HypercallNumber(self.number), arguments) } {
            panic!(
                "Xen refused call {}, which was put off: {error}",
                self.number
            );
        }
    }
}

const CALLS: usize = 24;
const UPDATES: usize = 120;
const OPERATIONS: usize = 16;

/// In a frame of its own.
#[repr(C)]
struct Queue {
    depth: LazyDepth,
    call_count: usize,
    update_count: usize,
    operation_count: usize,
    calls: [Call; CALLS],
    updates: [Update; UPDATES],
    operations: [Extended; OPERATIONS],
}

const _: () = assert!(size_of::<Queue>() <= 4096);

impl Queue {
    fn update(&mut self, update: Update) {
        if self.update_count == UPDATES {
            self.flush();
        }
        self.updates[self.update_count] = update;
        let at = &raw const self.updates[self.update_count];
        self.update_count += 1;
        self.extend(HypercallNumber::MMU_UPDATE, at.expose_provenance() as u64);
    }

    fn extended(&mut self, operation: Extended) {
        if self.operation_count == OPERATIONS {
            self.flush();
        }
        self.operations[self.operation_count] = operation;
        let at = &raw const self.operations[self.operation_count];
        self.operation_count += 1;
        self.extend(HypercallNumber::MMUEXT_OP, at.expose_provenance() as u64);
    }

    /// One more element of the last call's list, or a call with a list of one. The lists of calls of one
    /// kind follow each other.
    fn extend(&mut self, number: HypercallNumber, element: u64) {
        let last = self
            .call_count
            .checked_sub(1)
            .map(|last| &mut self.calls[last]);
        match last.filter(|call| call.number == number.0) {
            Some(call) => call.arguments[1] += 1,
            None => self.push(number, &[element, 1, 0, SELF]),
        }
    }

    fn call(&mut self, number: HypercallNumber, arguments: &[u64]) {
        self.push(number, arguments);
    }

    fn push(&mut self, number: HypercallNumber, arguments: &[u64]) {
        let mut call = Call {
            number: number.0,
            result: 0,
            arguments: [0; 6],
        };
        call.arguments[..arguments.len()].copy_from_slice(arguments);
        self.calls[self.call_count] = call;
        self.call_count += 1;
        if self.call_count == CALLS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let count = core::mem::take(&mut self.call_count);
        if count == 0 {
            return;
        }
        self.update_count = 0;
        self.operation_count = 0;
        if let [call] = &self.calls[..count] {
            return call.make();
        }
        let calls = self.calls.as_mut_ptr();
        let arguments = [calls.expose_provenance() as u64, count as u64];
        // SAFETY: whoever put the calls there has vouched for them; Xen writes the results.
        let made = unsafe { hypercall(HypercallNumber::MULTICALL, arguments) };
        // SAFETY: the queue is ours again.
        let calls = unsafe { core::slice::from_raw_parts(calls.cast_const(), count) };
        let refused = calls.iter().find(|call| call.result < 0);
        if made.is_err() || refused.is_some() {
            let (number, error) = refused.map_or((13, 0), |call| (call.number, call.result));
            panic!("Xen refused call {number} of a batch with error {error}");
        }
    }
}
