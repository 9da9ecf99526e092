//! Threads of the kernel's, and programs.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::Outcome;
use crate::arch::programs::NOWHERE;
use crate::programs::{self, FORKED, WRONG, spawn};
use crate::scheduler::{self, End, KILLED, TASKS, TaskId};
use crate::text::{ensure, text};
use crate::work::{begin, finish};
use crate::{cpus, frames};

/// Threads that yield take turns.
pub(super) fn threads() -> Outcome {
    const THREADS: usize = 4;
    const TURNS: usize = 8;
    /// Who had each turn, plus one.
    static ORDER: [AtomicUsize; THREADS * TURNS] = [const { AtomicUsize::new(0) }; THREADS * TURNS];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    fn thread(number: usize) -> u64 {
        for _ in 0..TURNS {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            if let Some(who) = ORDER.get(turn) {
                who.store(number + 1, Ordering::Relaxed);
            }
            scheduler::yield_now();
        }
        number as u64
    }
    NEXT.store(0, Ordering::Relaxed);
    let tasks: [_; THREADS] = core::array::from_fn(|number| scheduler::spawn(thread, number));
    scheduler::run();
    for (number, task) in tasks.into_iter().enumerate() {
        let end = ended(task)?;
        ensure!(
            end.code == number as u64,
            "thread {number} ended with {}",
            end.code
        );
    }
    for (turn, who) in ORDER.iter().enumerate() {
        let who = who.load(Ordering::Relaxed);
        ensure!(who == turn % THREADS + 1, "turn {turn} had {who}");
    }
    Ok(text!("{THREADS} threads, {TURNS} turns each, in order"))
}

/// Two programs with the same addresses and different memory, which yield to nobody, both get on.
pub(super) fn programs() -> Outcome {
    const NAMES: [u64; 2] = [0x1111, 0x2222];
    let tasks = NAMES.map(|name| spawn(programs::count(), name));
    scheduler::run();
    let [first, second] = tasks.map(ended);
    let (first, second) = (first?, second?);
    for end in [first, second] {
        ensure!(
            end.code != WRONG,
            "a program has seen other memory, or no end of its time"
        );
        ensure!(
            end.code & !0xff != KILLED,
            "a program was killed: {:#x}",
            end.code
        );
    }
    // The last to end has nobody to be preempted for.
    ensure!(
        first.preemptions >= 4 && second.preemptions >= 4,
        "preempted {} and {} times",
        first.preemptions,
        second.preemptions
    );
    Ok(text!(
        "preempted {} and {} times, counted to {} and {}",
        first.preemptions,
        second.preemptions,
        first.code,
        second.code
    ))
}

/// After a fork both programs have their own memory, and when they have ended nobody has it.
pub(super) fn fork() -> Outcome {
    const PAGES: u64 = 300;
    // Stacks stay, so the first round has them made.
    let mut used = 0;
    for round in 0..3 {
        let before = frames::used();
        let task = spawn(programs::fork(), PAGES);
        scheduler::run();
        let end = ended(task)?;
        ensure!(
            end.code == FORKED,
            "round {round} ended with {:#x}",
            end.code
        );
        used = frames::used() - before;
    }
    ensure!(used == 0, "{used} frames were not given back");
    Ok(text!("{PAGES} pages, each shared and then copied"))
}

/// System calls by SYSENTER do what those by INT do.
#[cfg(target_arch = "x86")]
pub(super) fn sysenter() -> Outcome {
    const CALLS: u64 = 500;
    if !crate::trap_entry::has_sysenter() {
        return Ok(text!("this CPU has no SYSENTER"));
    }
    let tasks = [(); 2].map(|()| spawn(programs::fast(), CALLS));
    scheduler::run();
    for task in tasks {
        let end = ended(task)?;
        ensure!(end.code == FORKED, "a program ended with {:#x}", end.code);
    }
    Ok(text!("{CALLS} calls and a fork by each of two programs"))
}

/// A program that does what it has no right to is ended; the kernel goes on.
pub(super) fn wild() -> Outcome {
    const PAGE_FAULT: u64 = KILLED | 14;
    const GENERAL_PROTECTION: u64 = KILLED | 13;
    let expected = [
        ("a read of the kernel", PAGE_FAULT),
        ("a write to text", PAGE_FAULT),
        ("a call of data", PAGE_FAULT),
        ("CLI", GENERAL_PROTECTION),
        ("a write to nowhere", KILLED | NOWHERE),
    ];
    for (kind, (what, code)) in expected.into_iter().enumerate() {
        let task = spawn(programs::wild(), kind as u64);
        scheduler::run();
        let end = ended(task)?;
        ensure!(end.code == code, "{what} ended with {:#x}", end.code);
    }
    Ok(text!(
        "{} programs, each ended as it should",
        expected.len()
    ))
}

/// Programs and threads on all CPUs, which take them from each other.
pub(super) fn on_all_cpus() -> Outcome {
    let before = frames::used();
    for round in 0..2 {
        let mut tasks = [None; TASKS / 2];
        for (index, task) in tasks.iter_mut().enumerate() {
            *task = match index % 4 {
                0 => spawn(programs::count(), index as u64),
                1 => spawn(programs::fork(), 50),
                2 => spawn(programs::yields(), 20),
                _ => scheduler::spawn(yielding, 20),
            };
        }
        for cpu in 1..cpus::count() {
            begin(
                cpu,
                |_| {
                    scheduler::run();
                    0
                },
                0,
            );
        }
        scheduler::run();
        for cpu in 1..cpus::count() {
            ensure!(finish(cpu).is_some(), "CPU {cpu} does not come back");
        }
        for (index, task) in tasks.into_iter().enumerate() {
            let end = ended(task)?;
            let well = end.code != WRONG && end.code & !0xff != KILLED;
            ensure!(
                well,
                "round {round}: task {index} ended with {:#x}",
                end.code
            );
        }
    }
    // At most the stacks are new, of four pages each and perhaps a table.
    let more = frames::used() - before;
    ensure!(more <= TASKS * 4 + 2, "{more} frames were not given back");
    Ok(text!(
        "{} tasks on {} CPUs, twice",
        TASKS / 2,
        cpus::count()
    ))
}

fn yielding(turns: usize) -> u64 {
    (0..turns).for_each(|_| scheduler::yield_now());
    0
}

/// How a task has ended that was to be begun, and to end.
fn ended(task: Option<TaskId>) -> Result<End, crate::text::Text> {
    let Some(task) = task else {
        return Err(text!("a task can't be begun"));
    };
    scheduler::end(task).ok_or_else(|| text!("a task has not ended"))
}
