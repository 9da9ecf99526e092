//! Waiting without interrupts: SCHEDOP_poll and SCHEDOP_yield of Xen's public/sched.h.

use pvops_core::binding::Binding;
use pvops_core::preserve;

use crate::clock::LAST_NS;
use crate::event_channel::Port;
use crate::hypercall::{self, HypercallNumber};
use crate::word::{Word, by_word_size};

/// Lets others run until the [system time](crate::system_time_ns) is `deadline_ns` (0: never), or an event
/// comes that is not masked. It may return earlier for no reason. Any context: for a kernel that can't halt
/// for an interrupt there.
pub fn poll_until(deadline_ns: u64) {
    poll(&[], deadline_ns);
}

/// The op `system.yield_cpu`: another virtual CPU that wants to run has this one's turn. SCHEDOP_yield.
pub(crate) const YIELD_CPU: Binding<pvops_core::op::system::yield_cpu> =
    preserve!(system::yield_cpu, yield_cpu);

unsafe extern "C" fn yield_cpu() {
    const YIELD: u64 = 0;
    // SAFETY: the call changes nothing.
    let _ = unsafe { hypercall::hypercall(HypercallNumber::SCHED_OP, [YIELD, 0]) };
}

/// Sleeps until one of the ports has an event, masked or not, the system time is `deadline_ns` (0: never),
/// or something else wakes the CPU.
pub(crate) fn poll(ports: &[Port], deadline_ns: u64) {
    const POLL: u32 = 3;
    let mut operation = Poll {
        ports: ports.as_ptr().expose_provenance() as Word,
        count: ports.len() as u32,
        deadline_ns: deadline_ns.min(LAST_NS),
    };
    // SAFETY: the structure is the command's, and the list lives until the call returns. If Xen refuses,
    // nobody sleeps.
    let _ = unsafe { hypercall::command(HypercallNumber::SCHED_OP, POLL, &mut operation) };
}

/// `struct sched_poll`.
#[repr(C)]
struct Poll {
    ports: Word,
    count: u32,
    deadline_ns: u64,
}

const _: () = assert!(size_of::<Poll>() == by_word_size(24, 16) && size_of::<Port>() == 4);
