//! Updates of page tables and of the CPU's state, which wait in a lazy mode.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::count::{Statistic, add, count};
use super::cpu::Cpu;
use super::descriptors;
use super::entries::Arguments;
use super::interrupts_off::InterruptsOff;
use super::paging;
use super::state::State;
use crate::abi::LazyMode;

/// How many updates wait at most; one more, and all are done.
const CAPACITY: usize = 32;

/// Something to write.
#[derive(Clone, Copy)]
pub(super) enum Update {
    Entry { address: u32, value: u32 },
    LongEntry { address: u32, value: u64 },
    Descriptor { address: u32, value: u64 },
    KernelStack { segment: u32, pointer: u32 },
}

impl Update {
    fn apply(self) {
        match self {
            Self::Entry { address, value } => paging::write_entry(address, value),
            Self::LongEntry { address, value } => paging::write_long_entry(address, value),
            Self::Descriptor { address, value } => descriptors::write(address, value),
            Self::KernelStack { segment, pointer } => {
                descriptors::write_kernel_stack(segment, pointer);
            }
        }
    }
}

/// The updates of a CPU that wait, oldest first, and why they may.
pub(super) struct Queue {
    mode: Cell<u32>,
    length: Cell<usize>,
    updates: [Cell<Option<Update>>; CAPACITY],
}

/// Does the update at once, or notes it if the CPU is in the lazy mode `allowed`. All that waits has
/// been done by then in the first case, so that the order of updates is kept.
pub(super) fn apply_or_defer(update: Update, allowed: Option<LazyMode>) {
    let state = State::get();
    if state.lazy_cpus.load(Ordering::Relaxed) == 0 {
        return update.apply();
    }
    let interrupts_off = InterruptsOff::new();
    let Some(cpu) = Cpu::current(state, &interrupts_off) else {
        return update.apply();
    };
    if allowed.is_some_and(|mode| mode.0 == cpu.queue.mode.get()) {
        cpu.queue.push(update);
    } else {
        cpu.queue.flush();
        update.apply();
    }
}

/// Does all that waits on this CPU.
pub(super) fn flush() {
    let state = State::get();
    if state.lazy_cpus.load(Ordering::Relaxed) == 0 {
        return;
    }
    let interrupts_off = InterruptsOff::new();
    if let Some(cpu) = Cpu::current(state, &interrupts_off) {
        cpu.queue.flush();
    }
}

/// The call: leaving a mode makes up for what waits.
pub(super) extern "C" fn set_lazy_mode(arguments: &Arguments) -> u64 {
    let state = State::get();
    let interrupts_off = InterruptsOff::new();
    if let Some(cpu) = Cpu::current(state, &interrupts_off) {
        cpu.queue
            .set_mode(LazyMode(arguments.eax), &state.lazy_cpus);
    }
    0
}

impl Queue {
    fn push(&self, update: Update) {
        if self.length.get() == CAPACITY {
            self.flush();
        }
        if let Some(slot) = self.updates.get(self.length.get()) {
            slot.set(Some(update));
            self.length.set(self.length.get() + 1);
        }
    }

    fn flush(&self) {
        let length = self.length.replace(0);
        if length == 0 {
            return;
        }
        let waiting = self.updates.iter().take(length);
        waiting.filter_map(Cell::take).for_each(Update::apply);
        count(Statistic::Flushes);
        add(Statistic::Deferred, length as u32);
    }

    fn set_mode(&self, mode: LazyMode, lazy_cpus: &AtomicU32) {
        let mode = match mode {
            LazyMode::MMU | LazyMode::CPU => mode,
            _ => LazyMode::OFF,
        };
        if LazyMode(self.mode.get()) != mode {
            self.flush();
        }
        let before = LazyMode(self.mode.replace(mode.0));
        match (before == LazyMode::OFF, mode == LazyMode::OFF) {
            (true, false) => _ = lazy_cpus.fetch_add(1, Ordering::Relaxed),
            (false, true) => _ = lazy_cpus.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }
}
