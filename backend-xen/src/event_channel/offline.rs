//! CPUs that are off, and take no words from their queues of the FIFO ABI.
//!
//! Xen links a word to no queue while it is in one, so a port that is given to another CPU would have no
//! event again. Therefore a CPU that goes off empties its queues, and so does, on its behalf, whoever
//! takes a port from it later. Xen then links anew what had an event: to the queue of the CPU that the
//! port is for, be it the same.

use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::irq;
use spin::Mutex;

use super::abi::{QUEUES, WORDS};
use super::handlers::Slot;
use super::kinds::Port;
use super::{HANDLERS, fifo, is_fifo, operations, stray};
use crate::shared_frame;
use crate::vcpu::{self, VcpuId};

/// Whether a CPU is on, and its queues its own. Taken with interrupts off.
static IS_ON: [Mutex<bool>; MAX_CPUS] = [const { Mutex::new(false) }; MAX_CPUS];

/// This CPU takes events from now on. Interrupts off.
pub(super) fn come(cpu: usize) {
    if let Some(is_on) = IS_ON.get(cpu) {
        *is_on.lock() = true;
    }
}

/// This CPU takes no events any more. Interrupts off.
pub(crate) fn go(cpu: usize) {
    if let (Some(is_on), Some(vcpu)) = (IS_ON.get(cpu), vcpu::id(cpu)) {
        let mut is_on = is_on.lock();
        *is_on = false;
        empty(cpu, vcpu);
    }
}

/// Empties the queues of a CPU, if it is off. Not in an interrupt handler.
pub(super) fn empty_queues(vcpu: VcpuId) {
    let Some(cpu) = vcpu::cpu_of(vcpu) else {
        return;
    };
    irq::without(|| {
        let is_on = IS_ON[cpu].lock();
        if !*is_on {
            empty(cpu, vcpu);
        }
    });
}

/// Empties the queues of a CPU, which are the caller's.
fn empty(cpu: usize, vcpu: VcpuId) {
    let (true, Some(frame)) = (is_fifo(), shared_frame::of(cpu)) else {
        return;
    };
    let belongs_here = |port| HANDLERS.get(port).map(Slot::vcpu) == Some(vcpu);
    let mut some_stay = false;
    // Nothing is left: there are no more words than that, and none comes back meanwhile.
    let _ = QUEUES[cpu].consume(
        &WORDS,
        &frame.control,
        fifo::PORTS,
        |port| match belongs_here(port) {
            true => some_stay = true,
            false => announce(port),
        },
        stray,
    );
    if some_stay {
        WORDS
            .unannounced()
            .filter(|&port| belongs_here(port))
            .for_each(announce);
    }
}

/// Has Xen link the word of a port that has an event.
fn announce(port: Port) {
    // It is refused only if the port was closed meanwhile.
    let _ = operations::unmask(port);
}
