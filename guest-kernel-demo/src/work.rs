//! Work that one CPU gives to another.

use core::mem::transmute;
use core::sync::atomic::Ordering;

use pvops_core::{irq, smp, system, time};

use crate::interrupts;
use crate::per_cpu::{self, PerCpu};
use crate::trap::WORK_VECTOR;

/// What a CPU can be asked to do.
pub(crate) type Work = fn(usize) -> u64;

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const DONE: u32 = 2;

/// Has a CPU call a function; [`finish`] gives its result. A CPU does one work at a time.
pub(crate) fn begin(cpu: usize, function: Work, argument: usize) {
    let of = per_cpu::of(cpu);
    of.function.store(function as usize, Ordering::Relaxed);
    of.argument.store(argument, Ordering::Relaxed);
    of.state.store(ASKED, Ordering::Release);
    // SAFETY: the CPU is online, and every vector has a handler.
    unsafe { smp::send_ipi(cpu, WORK_VECTOR) };
}

/// Waits, up to a minute, for what was begun on a CPU.
pub(crate) fn finish(cpu: usize) -> Option<u64> {
    const PATIENCE_NS: u64 = 60_000_000_000;
    let of = per_cpu::of(cpu);
    let start = time::clock_ns();
    while of.state.load(Ordering::Acquire) != DONE {
        if time::clock_ns() - start > PATIENCE_NS {
            return None;
        }
        system::yield_cpu();
    }
    of.state.store(IDLE, Ordering::Relaxed);
    Some(of.result.load(Ordering::Relaxed))
}

/// Has a CPU call a function, and waits for its result.
pub(crate) fn run_on(cpu: usize, function: Work, argument: usize) -> Option<u64> {
    begin(cpu, function, argument);
    finish(cpu)
}

/// What a CPU does that has nothing else to do.
pub(crate) fn wait_for_ever(this: &PerCpu) -> ! {
    loop {
        irq::disable();
        if this.state.load(Ordering::Acquire) == ASKED {
            // SAFETY: interrupts have handlers; and the function is one that `begin` stored.
            unsafe {
                irq::enable();
                let function: Work = transmute(this.function.load(Ordering::Relaxed));
                let result = function(this.argument.load(Ordering::Relaxed));
                this.result.store(result, Ordering::Relaxed);
            }
            this.state.store(DONE, Ordering::Release);
        } else {
            // Work that comes now wakes the CPU by its interrupt.
            interrupts::wait();
        }
    }
}
