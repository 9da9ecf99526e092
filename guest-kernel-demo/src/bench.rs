//! Benchmarks: what ops, exits and whole pieces of work cost on this host, by the method of
//! [`pvops_benches`].
//!
//! `bench` on the command line runs all, `bench=<name>,...` those with one of these names, or in a group
//! with one. Each reports a machine line; its `min`, `median` and `p99` are ticks of the time-stamp counter
//! for `rounds` rounds together, so that nothing is lost by rounding.
//!
//! As in `measure`, the instructions that ops are compared with are in functions of this
//! module.

mod clocks;
mod exits;
mod interrupts;
mod ops;
mod scaling;
mod self_interrupts;
mod turns;
mod workloads;
#[cfg(target_arch = "x86_64")]
mod xen;

#[cfg(target_arch = "x86")]
use core::arch::x86 as arch;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64 as arch;
use core::cell::Cell;

use pvops_benches::{Figure, Method};
use pvops_core::boot_info::CommandLine;
use pvops_core::irq;

use crate::arch::start_tsc;
use crate::console::{println, report};
use crate::selftest::host_lacks;

pub(crate) use interrupts::end as end_of_interrupt;

/// Runs what the command line asks for, and tells how many ticks that took. On the boot CPU, once all CPUs
/// run.
#[inline(never)]
pub(crate) fn run(command_line: CommandLine<'_>) -> u64 {
    let start = tsc();
    let bench = Bench::new(command_line);
    if !bench.all() && bench.wanted().is_empty() {
        return 0;
    }
    ops::run(&bench);
    exits::run(&bench);
    irq::without(|| clocks::run(&bench));
    interrupts::run(&bench);
    #[cfg(target_arch = "x86_64")]
    if bench.lacks("ring-0") {
        xen::run(&bench);
    }
    workloads::run(&bench);
    scaling::run(&bench);
    if bench.reported.get() == 0 {
        println!("no benchmark is called {:?}", bench.wanted());
    }
    tsc() - start
}

/// Reports what has passed since the kernel's entry, but for `aside` ticks. Once the result is known.
#[inline(never)]
pub(crate) fn boot_to_result(command_line: CommandLine<'_>, aside: u64) {
    let work = Work::new("workload", "boot_to_result", "");
    Bench::new(command_line).take::<1>(work, 1, aside, || Some(tsc().wrapping_sub(start_tsc())));
}

/// A sample takes so many ticks at least.
const GOAL_TICKS: u64 = 10_000;

/// What is measured: `name` in one of the ways to do it, for a number of things at once.
#[derive(Clone, Copy)]
struct Work<'a> {
    group: &'static str,
    name: &'a str,
    /// Empty if there is one way only.
    way: &'a str,
    size: u64,
}

impl<'a> Work<'a> {
    fn new(group: &'static str, name: &'a str, way: &'a str) -> Self {
        let size = 1;
        Self {
            group,
            name,
            way,
            size,
        }
    }
}

struct Bench<'a> {
    command_line: CommandLine<'a>,
    reported: Cell<u32>,
}

impl<'a> Bench<'a> {
    fn new(command_line: CommandLine<'a>) -> Self {
        Self {
            command_line,
            reported: Cell::new(0),
        }
    }

    #[inline(never)]
    fn lacks(&self, ability: &str) -> bool {
        host_lacks(self.command_line, ability)
    }

    fn all(&self) -> bool {
        self.command_line.flag("bench")
    }

    fn wanted(&self) -> &str {
        self.command_line.value("bench").unwrap_or("")
    }

    #[inline(never)]
    fn wants(&self, work: Work<'_>) -> bool {
        let is_it = |name| name == work.name || name == work.group;
        self.all() || self.wanted().split(',').any(is_it)
    }

    /// [`measure`](Self::measure) in the group of exits.
    fn exit(&self, name: &str, way: &str, body: impl FnMut(u64)) {
        self.measure(Work::new("exit", name, way), body);
    }

    /// Measures and reports, if that is wanted.
    fn measure(&self, work: Work<'_>, body: impl FnMut(u64)) {
        let method = Method {
            counter: tsc,
            goal_ticks: GOAL_TICKS,
        };
        if self.wants(work) {
            self.tell(work, method.measure(body));
        }
    }

    /// The same for work that counts its own ticks, of so many rounds each time, of which `overhead` are
    /// for counting. Work that can't be done gives none.
    fn take<const SAMPLES: usize>(
        &self,
        work: Work<'_>,
        rounds: u64,
        overhead: u64,
        mut sample: impl FnMut() -> Option<u64>,
    ) {
        if !self.wants(work) {
            return;
        }
        let mut samples = [0; SAMPLES];
        for place in &mut samples {
            match sample() {
                Some(ticks) => *place = ticks.saturating_sub(overhead),
                None => return println!("{} can't be measured", work.name),
            }
        }
        self.tell(work, Figure::of(rounds, overhead, &mut samples));
    }

    #[inline(never)]
    fn tell(&self, work: Work<'_>, figure: Figure) {
        let Work {
            group,
            name,
            way,
            size,
        } = work;
        let Figure {
            rounds,
            min,
            median,
            p99,
            n,
            overhead,
        } = figure;
        report!(
            "\"event\":\"bench\",\"group\":\"{group}\",\"name\":\"{name}\",\"way\":\"{way}\",\
             \"size\":{size},\"unit\":\"tick\",\"rounds\":{rounds},\"min\":{min},\
             \"median\":{median},\"p99\":{p99},\"n\":{n},\"overhead\":{overhead}"
        );
        self.reported.set(self.reported.get() + 1);
    }
}

/// The counter itself, not the op: what is measured is no ruler. In one place: a host that emulates the
/// instruction reads it from memory, and needs longer where it crosses a page.
#[inline(never)]
fn tsc() -> u64 {
    // SAFETY: reading the time-stamp counter has no effect.
    unsafe { arch::_rdtsc() }
}
