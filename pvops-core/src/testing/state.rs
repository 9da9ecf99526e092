//! What the simulated CPU of a thread is made of, and how its ops get at it.

use std::any::Any;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;
use std::{eprintln, format, process};

use super::hypercall::Host;
use super::interrupts::Interrupts;
use super::page_tables::PutOff;
use super::performed::{Operand, Performed};
use super::registers::Registers;
use super::replay::Replay;
use super::time::Time;
use crate::op::OpNumber;

/// A CPU and its machine.
#[derive(Default)]
pub(super) struct State {
    pub(super) index: usize,
    pub(super) registers: Registers,
    pub(super) interrupts: Interrupts,
    pub(super) time: Time,
    pub(super) page_tables: PutOff,
    pub(super) ports: BTreeMap<u16, u32>,
    pub(super) apic: BTreeMap<u32, u32>,
    pub(super) console: Vec<u8>,
    pub(super) host: Option<Host>,
    /// Addresses of the frames that are shared with the host, in the order in which they were asked for.
    pub(super) frames: Vec<usize>,
    pub(super) replay: Replay,
    pub(super) performed: Vec<Performed>,
    /// What the test is to fail with.
    pub(super) failure: Option<Box<dyn Any + Send>>,
}

impl State {
    /// Fails the test, unless it is to fail already.
    pub(super) fn fail(&mut self, reason: String) {
        self.failure.get_or_insert_with(|| Box::new(reason));
    }
}

std::thread_local! {
    static STATE: RefCell<Option<Box<State>>> = const { RefCell::new(None) };
}

/// Makes this thread a CPU, or with `None` no CPU any more; gives what it was.
pub(super) fn exchange(state: Option<Box<State>>) -> Option<Box<State>> {
    STATE.with(|current| current.replace(state))
}

/// This thread's CPU.
pub(super) fn with<T>(run: impl FnOnce(&mut State) -> T) -> T {
    let done = STATE.try_with(|state| state.borrow_mut().as_deref_mut().map(run));
    done.ok().flatten().unwrap_or_else(|| {
        stop("an op on a thread that is no CPU: pvops_core::testing::Cpu::new() makes it one")
    })
}

/// Whether this thread is a CPU.
pub(super) fn is_cpu() -> bool {
    STATE.with(|state| state.borrow().is_some())
}

/// Does what an op is to do, notes it, and lets interrupts in.
pub(super) fn perform<R: Operand>(
    op: OpNumber,
    operands: &[u64],
    run: impl FnOnce(&mut State) -> R,
) -> R {
    let result = with(|state| {
        let result = run(state);
        state.performed.push(Performed::new(op, operands, &result));
        result
    });
    deliver();
    result
}

/// The same for ops that are too many to be noted.
pub(super) fn perform_unnoted<R>(run: impl FnOnce(&mut State) -> R) -> R {
    let result = with(run);
    deliver();
    result
}

/// Runs the handlers of all interrupts that this CPU takes now.
pub(super) fn deliver() {
    while let Some((vector, handler)) = with(|state| state.interrupts.take()) {
        // A panic can't unwind through an op, whose site is assembly.
        let outcome = match handler {
            Some(handler) => catch_unwind(AssertUnwindSafe(|| handler())),
            None => Err(Box::new(format!("interrupt {vector} came and has no handler")) as _),
        };
        with(|state| {
            state.interrupts.is_on = true;
            if let Err(reason) = outcome {
                state.failure.get_or_insert(reason);
            }
        });
    }
}

/// Ends the process, where no test can go on.
pub(super) fn stop(reason: &str) -> ! {
    eprintln!("{reason}");
    process::abort()
}
