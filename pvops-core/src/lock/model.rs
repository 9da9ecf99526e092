//! Every interleaving of a few CPUs on one lock, on the weakest host that the ops allow.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p pvops-core --release --lib model`
//!
//! The host drops the kick of a CPU that is not kickable, and never wakes one by itself: a wake-up
//! that is lost is a deadlock, which the model reports. Hosts with a mistake must be found out.

use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::host::Host;
use super::queue::Queue;
use crate::atomic::{AtomicU32, Ordering};

/// What a host does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    Nothing,
    /// `wait` does not read the word again.
    NoRecheck,
    /// `wait` reads the word before the CPU is kickable.
    EarlyCheck,
    /// `kick` does nothing, but `wait` sleeps.
    NoKick,
}

/// What a kick finds.
#[derive(Clone, Copy, PartialEq)]
enum Cpu {
    Running,
    Kickable,
    Kicked,
}

struct Model {
    cpus: Vec<(Mutex<Cpu>, Condvar)>,
    mistake: Mistake,
    preempted: bool,
}

/// How often a model's CPU has slept until kicked.
static SLEEPS: AtomicUsize = AtomicUsize::new(0);

impl Host for Model {
    const SPINS: u32 = 1;

    fn wait(&self, word: &AtomicU32, value: u32) {
        let (cpu, woken) = &self.cpus[THIS_CPU.with(|cpu| cpu.load(Relaxed))];
        if self.mistake == Mistake::EarlyCheck && word.load(Ordering::Relaxed) != value {
            return;
        }
        *cpu.lock().unwrap() = Cpu::Kickable;
        let recheck = matches!(self.mistake, Mistake::Nothing | Mistake::NoKick);
        if !recheck || word.load(Ordering::Relaxed) == value {
            let mut state = cpu.lock().unwrap();
            while *state == Cpu::Kickable {
                SLEEPS.fetch_add(1, Relaxed);
                state = woken.wait(state).unwrap();
            }
        }
        *cpu.lock().unwrap() = Cpu::Running;
    }

    fn kick(&self, cpu: u32) {
        if self.mistake == Mistake::NoKick {
            return;
        }
        let (cpu, woken) = &self.cpus[cpu as usize];
        let mut state = cpu.lock().unwrap();
        if *state == Cpu::Kickable {
            *state = Cpu::Kicked;
            woken.notify_one();
        }
    }

    fn vcpu_is_preempted(&self, _cpu: u32) -> bool {
        self.preempted
    }
}

loom::thread_local! {
    static THIS_CPU: AtomicUsize = AtomicUsize::new(0);
}

/// A lock, what it protects, and the CPUs that take it.
struct Machine {
    queue: Queue,
    count: UnsafeCell<usize>,
    model: Model,
    order: Order,
}

#[derive(Clone, Copy)]
enum Order {
    InTurn,
    OutOfTurn,
}

impl Machine {
    fn run(&self, cpu: usize, rounds: usize) {
        THIS_CPU.with(|this| this.store(cpu, Relaxed));
        for _ in 0..rounds {
            if !self.queue.try_lock() {
                match self.order {
                    Order::InTurn => self.queue.lock(&self.model, cpu as u32),
                    Order::OutOfTurn => self.queue.lock_out_of_turn(),
                }
            }
            // SAFETY: the lock is held; the model checks that.
            self.count.with_mut(|count| unsafe { *count += 1 });
            // SAFETY: the lock is held, by this thread.
            unsafe {
                if !self.queue.count_down() {
                    self.queue.release_to_sleeper(&self.model);
                }
            }
        }
    }
}

/// Lets each of `cpus` take the lock `rounds` times, in all interleavings with at most `preemptions`
/// switches that no CPU asked for.
fn check(cpus: usize, rounds: usize, preemptions: Option<usize>, mistake: Mistake) {
    check_order(cpus, rounds, preemptions, mistake, Order::InTurn);
}

fn check_order(
    cpus: usize,
    rounds: usize,
    preemptions: Option<usize>,
    mistake: Mistake,
    order: Order,
) {
    for preempted in [false, true] {
        let mut builder = Builder::new();
        builder.preemption_bound = preemptions;
        builder.check(move || {
            // Leaked: the model's own counted pointers can't be dropped after a deadlock.
            let machine: &Machine = Box::leak(Box::new(Machine {
                queue: Queue::new(),
                count: UnsafeCell::new(0),
                model: Model {
                    cpus: (0..cpus)
                        .map(|_| (Mutex::new(Cpu::Running), Condvar::new()))
                        .collect(),
                    mistake,
                    preempted,
                },
                order,
            }));
            let others: Vec<_> = (1..cpus)
                .map(|cpu| thread::spawn(move || machine.run(cpu, rounds)))
                .collect();
            machine.run(0, rounds);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert!(!machine.queue.is_locked());
            // SAFETY: nobody else is left.
            let count = machine.count.with(|count| unsafe { *count });
            assert_eq!(count, cpus * rounds);
        });
    }
}

/// Six preemptions take half a minute, seven five minutes.
#[test]
fn two_cpus_exclude_and_wake_each_other() {
    let before = SLEEPS.load(Relaxed);
    check(2, 2, Some(6), Mistake::Nothing);
    assert!(SLEEPS.load(Relaxed) > before, "nobody ever slept");
}

#[test]
fn three_cpus_exclude_and_wake_each_other() {
    check(3, 1, Some(3), Mistake::Nothing);
}

/// Nobody sleeps, so a host that kicks nobody is good enough. With a third CPU two could wait for each
/// other's yields for ever, which the model takes for a fault.
#[test]
fn two_cpus_exclude_each_other_out_of_turn() {
    check_order(2, 2, Some(6), Mistake::NoKick, Order::OutOfTurn);
}

/// The model is strict enough to need each part of the protocol.
#[test]
fn mistakes_are_found_out() {
    for mistake in [Mistake::NoRecheck, Mistake::EarlyCheck, Mistake::NoKick] {
        let found = catch_unwind(AssertUnwindSafe(|| check(2, 1, None, mistake)));
        let reason = found.expect_err("a wake-up should be lost");
        let reason = reason.downcast_ref::<std::string::String>().unwrap();
        assert!(reason.contains("deadlock"), "{reason}");
    }
}
