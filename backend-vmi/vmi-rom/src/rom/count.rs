//! Counting mode: `VMI_GetRelocationInfo` leads to stubs that count the call and go on to its code.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering};

use super::state::State;
use crate::abi::call;
use crate::abi::extension::statistic;

/// Calls and what else is counted.
pub(super) const COUNTERS: usize = call::COUNT as usize + 4;

/// Something that is counted besides calls, in both modes.
#[derive(Clone, Copy)]
pub(super) enum Statistic {
    Flushes,
    Deferred,
    SavedEnds,
    HypercallIpis,
}

pub(super) fn count(statistic: Statistic) {
    add(statistic, 1);
}

pub(super) fn add(statistic: Statistic, number: u32) {
    if let Some(counter) = counter(State::get(), statistic) {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

fn counter(state: &State, statistic: Statistic) -> Option<&AtomicU32> {
    state.counts.get(call::COUNT as usize + statistic as usize)
}

/// The extension's entry.
pub(super) extern "C" fn read_count(number: u32) -> u64 {
    let state = State::get();
    let statistic =
        |statistic| counter(state, statistic).map(|count| count.load(Ordering::Relaxed));
    let count = match number {
        statistic::PERSONALITY => Some(u32::from(state.kvm.get().is_some())),
        statistic::COUNTING => Some(state.counting.load(Ordering::Relaxed)),
        statistic::FLUSHES => statistic(Statistic::Flushes),
        statistic::DEFERRED => statistic(Statistic::Deferred),
        statistic::SAVED_ENDS => statistic(Statistic::SavedEnds),
        statistic::HYPERCALL_IPIS => statistic(Statistic::HypercallIpis),
        _ if number < call::COUNT => {
            let count = state.counts.get(number as usize);
            count.map(|count| count.load(Ordering::Relaxed))
        }
        _ => None,
    };
    u64::from(count.unwrap_or(0))
}

/// Bytes of a stub in `counted_calls`.
pub(super) const STUB_BYTES: u32 = 8;

// A stub pushes its number, and `counted` puts the address of the call's code in its place. Registers
// and the rest of the stack are as the guest left them, also for IRET; of the flags nothing is known.
global_asm!(
    ".pushsection .text.counted, \"ax\", @progbits",
    ".balign 8",
    ".globl counted_calls",
    "counted_calls:",
    ".set number, 0",
    ".rept {calls}",
    ".balign 8",
    "pushl $number",
    "jmp counted",
    ".set number, number + 1",
    ".endr",
    "counted:",
    "pushl %eax",
    "pushl %edx",
    "pushl %ecx",
    "movl 12(%esp), %ecx",
    "call state_address_in_eax",
    "lock incl {counts}(%eax,%ecx,4)",
    "call 1f",
    "1: popl %eax",
    "leal (call_entries - 1b)(%eax,%ecx,8), %eax",
    "addl (%eax), %eax",
    "movl %eax, 12(%esp)",
    "popl %ecx",
    "popl %edx",
    "popl %eax",
    "ret",
    // As `state_address`, but ECX is kept.
    "state_address_in_eax:",
    "pushl %ecx",
    "call state_address",
    "popl %ecx",
    "ret",
    ".popsection",
    calls = const call::COUNT,
    counts = const offset_of!(State, counts),
    options(att_syntax)
);
