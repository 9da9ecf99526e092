//! The handle by which a test looks at its CPU.

use std::any::Any;
use std::boxed::Box;
use std::eprintln;
use std::fmt;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::string::String;
use std::thread;
use std::vec::Vec;

use super::hypercall::HypercallRegisters;
use super::performed::Performed;
use super::recording::Recording;
use super::replay::Replay;
use super::state::{self, State, deliver, exchange};
use super::table;
use crate::probe::CpuIdResult;

/// This thread as a simulated CPU, until dropped. See the [module](super).
///
/// It starts as a CPU that has just entered a kernel: interrupts off, paging and PAE on, all else 0. It
/// has no model-specific registers, ports or CPUID leaves but those that the test gives it.
///
/// # Panics
///
/// Every method, and dropping it, where the code under test has done what ends a kernel: touched a
/// register that there is not, or panicked in a handler. The op itself goes on, as nothing can unwind through
/// it.
#[must_use = "the thread is a CPU until this is dropped"]
pub struct Cpu {
    /// It belongs to its thread.
    thread: PhantomData<*mut ()>,
}

impl Cpu {
    /// Makes this thread the CPU with index 0.
    ///
    /// # Panics
    ///
    /// If it is a CPU already.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self::with_index(0)
    }

    /// Makes this thread the CPU with that index, as [`Process`](super::Process) tells it.
    ///
    /// # Panics
    ///
    /// If it is a CPU already.
    pub fn with_index(index: usize) -> Self {
        table::fill();
        let state = State {
            index,
            ..State::default()
        };
        assert!(!state::is_cpu(), "this thread is a CPU already");
        exchange(Some(Box::new(state)));
        Cpu {
            thread: PhantomData,
        }
    }

    /// Has interrupts of that vector handled so, with interrupts off, as IRET turns them on again.
    pub fn on_interrupt(&self, vector: u8, handler: impl Fn() + 'static) {
        self.with(|state| state.interrupts.handlers.insert(vector, Rc::new(handler)));
    }

    /// Has an interrupt come: at once if interrupts are on, else when they are. The highest vector comes
    /// first; one that is pending already does not come twice.
    pub fn raise(&self, vector: u8) {
        self.with(|state| state.interrupts.pending.insert(vector));
        deliver();
    }

    /// Whether interrupts are on.
    pub fn interrupts_are_on(&self) -> bool {
        self.with(|state| state.interrupts.is_on)
    }

    /// The interrupts that wait until interrupts are on, in ascending order.
    pub fn pending(&self) -> Vec<u8> {
        self.with(|state| state.interrupts.pending.iter().copied().collect())
    }

    /// Gives the CPU a model-specific register, or changes it.
    pub fn set_msr(&self, index: u32, value: u64) {
        self.with(|state| state.registers.msrs.insert(index, value));
    }

    /// What is in a model-specific register, if there is one.
    pub fn msr(&self, index: u32) -> Option<u64> {
        self.with(|state| state.registers.msrs.get(&index).copied())
    }

    /// Has CPUID answer so. Leaves that were not set are zeros.
    pub fn set_cpuid(&self, leaf: u32, subleaf: u32, answer: CpuIdResult) {
        self.with(|state| state.set_cpuid(leaf, subleaf, answer));
    }

    /// Has a port read so, until it is written. Ports that were neither read as all ones.
    pub fn set_port(&self, port: u16, value: u32) {
        self.with(|state| state.ports.insert(port, value));
    }

    /// Has the local APIC's register read so, until it is written.
    pub fn set_apic(&self, register: u32, value: u32) {
        self.with(|state| state.apic.insert(register, value));
    }

    /// Has the time-stamp counter read so next. It goes by one a nanosecond, whatever a recording has.
    pub fn set_tsc(&self, tsc: u64) {
        self.with(|state| state.set_tsc(tsc));
    }

    /// Sets the time of day, in nanoseconds since 1970.
    pub fn set_wall_clock_ns(&self, wall_clock_ns: u64) {
        self.with(|state| state.time.set_wall_clock_ns(wall_clock_ns));
    }

    /// Lets time pass, and the event of [`time::set_event`](fn@crate::time::set_event) come if it is due.
    pub fn advance_ns(&self, by_ns: u64) {
        self.with(|state| {
            state.time.advance_ns(by_ns);
            state.note_event();
        });
        deliver();
    }

    /// Has hypercalls answered so.
    pub fn on_hypercall(&self, host: impl Fn(&mut HypercallRegisters) + 'static) {
        self.with(|state| state.host = Some(Rc::new(host)));
    }

    /// Has CPUID, the time-stamp counter, model-specific registers and hypercalls answer as in a real boot,
    /// each question in the order in which it was answered there. What the host is told must be what it was
    /// told there, all writes of registers and hypercalls in one order, with the same values, arguments and
    /// structures in memory; else the test fails. Registers that the recording does not write are the
    /// test's.
    pub fn replay(&self, recording: &Recording) {
        self.with(|state| state.replay = Replay::of(recording));
    }

    /// The writes and hypercalls of the recording that the code under test has not made, as
    /// `wrmsr 0x4b564d01`.
    pub fn left_to_replay(&self) -> Vec<String> {
        self.with(|state| state.replay.rest())
    }

    /// The ops performed since this was last asked, in their order: all but readings of the clock and of the
    /// time-stamp counter, bytes to the console, and what belongs to locks.
    pub fn take_ops(&self) -> Vec<Performed> {
        self.with(|state| std::mem::take(&mut state.performed))
    }

    /// What was written to the console since this was last asked; what is not UTF-8 is replaced.
    pub fn take_console(&self) -> String {
        let bytes = self.with(|state| std::mem::take(&mut state.console));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Looks at the CPU, if nothing has gone wrong.
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        if let Some(reason) = state::with(|state| state.failure.take()) {
            fail(reason);
        }
        state::with(look)
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        let state = exchange(None);
        let Some(reason) = state.and_then(|state| state.failure) else {
            return;
        };
        if !thread::panicking() {
            fail(reason);
        }
        // The test fails by what came of it.
        if let Some(text) = reason.downcast_ref::<String>() {
            eprintln!("before that: {text}");
        }
    }
}

/// Fails the test. What is not a text has panicked, and been told, before.
fn fail(reason: Box<dyn Any + Send>) -> ! {
    match reason.downcast::<String>() {
        Ok(text) => panic!("{text}"),
        Err(reason) => resume_unwind(reason),
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cpu").finish_non_exhaustive()
    }
}
