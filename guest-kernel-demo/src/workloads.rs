//! What whole pieces of a kernel's work cost: ticks, which are instructions where the time-stamp
//! counter counts those.

use pvops_core::cpu_set::CpuSet;
use pvops_core::{cpu, mmu};

use crate::console::{println, report};
use crate::layout::{PAGE, SCRATCH};
use crate::programs::{self, Program, spawn};
use crate::scheduler::TaskId;
#[cfg(target_arch = "x86")]
use crate::vmi::measure::Counts;
use crate::{cpus, scheduler};

/// Measures and reports each, once all CPUs run.
pub(crate) fn measure() {
    warm_up();
    WORKLOADS.iter().for_each(one);
}

/// On our VMI ROM that counts, with the calls of it.
fn one(Workload { name, rounds, run }: &Workload) {
    #[cfg(target_arch = "x86")]
    let before = Counts::now();
    match run() {
        Some(cost) => {
            report!("\"event\":\"measure\",\"name\":\"{name}\",\"rounds\":{rounds},\"cost\":{cost}")
        }
        None => println!("{name} can't be measured"),
    }
    #[cfg(target_arch = "x86")]
    if let (Some(before), Some(after)) = (before, Counts::now()) {
        report!(
            "\"event\":\"measure\",\"name\":\"calls.{name}\",\"rounds\":{rounds},\"calls\":{},\
             \"deferred\":{},\"flushes\":{}",
            after.calls - before.calls,
            after.deferred - before.deferred,
            after.flushes - before.flushes,
        );
    }
}

/// A piece of work.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) rounds: u64,
    /// Gives the ticks of all rounds.
    pub(crate) run: fn() -> Option<u64>,
}

pub(crate) static WORKLOADS: [Workload; 6] = [
    workload("thread_switch", 2 * ROUNDS, || two_threads(ROUNDS)),
    workload("syscall", ROUNDS, || program(programs::syscalls(), ROUNDS)),
    workload("program_switch", 2 * ROUNDS, || two_programs(ROUNDS)),
    workload("page_fault", ROUNDS, || program(programs::faults(), ROUNDS)),
    workload("fork_2000_pages", 1, || {
        program(programs::fork_cost(), PAGES)
    }),
    workload("shootdown", ROUNDS, || shootdowns(ROUNDS)),
];

const fn workload(name: &'static str, rounds: u64, run: fn() -> Option<u64>) -> Workload {
    Workload { name, rounds, run }
}

const ROUNDS: u64 = 1000;
const PAGES: u64 = 2000;

/// The first time, stacks are made, and a host finds memory for ours: millions of instructions for each
/// 2 MiB, in whatever touches it first.
pub(crate) fn warm_up() {
    two_threads(1);
    program(programs::fork_cost(), PAGES);
}

/// Two threads of the kernel's take turns.
fn two_threads(turns: u64) -> Option<u64> {
    fn thread(turns: usize) -> u64 {
        (0..turns).for_each(|_| scheduler::yield_now());
        0
    }
    run([(); 2].map(|()| scheduler::spawn(thread, turns as usize)))
}

/// Two programs take turns, by a system call each.
fn two_programs(turns: u64) -> Option<u64> {
    run([(); 2].map(|()| spawn(programs::yields(), turns)))
}

/// What it takes for two tasks to run and end.
fn run(tasks: [Option<TaskId>; 2]) -> Option<u64> {
    let start = cpu::read_tsc_ordered();
    scheduler::run();
    let cost = cpu::read_tsc_ordered() - start;
    for task in tasks {
        scheduler::end(task?)?;
    }
    Some(cost)
}

/// A program that measures by itself.
fn program(program: Program, argument: u64) -> Option<u64> {
    let task = spawn(program, argument)?;
    scheduler::run();
    scheduler::end(task).map(|end| end.code)
}

/// One page, on all CPUs.
fn shootdowns(rounds: u64) -> Option<u64> {
    let all = CpuSet::first(cpus::count());
    let start = cpu::read_tsc_ordered();
    for _ in 0..rounds {
        // SAFETY: the CPUs are online and take the library's vector.
        unsafe { mmu::flush_tlb_multi(&raw const all, SCRATCH.start, SCRATCH.start + PAGE) };
    }
    Some(cpu::read_tsc_ordered() - start)
}
