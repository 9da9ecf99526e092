//! Stacks of CPUs and tasks, each with a page below that is not mapped.

use crate::frames;
use crate::layout::{PAGE, STACKS};
use crate::paging;
use crate::per_cpu::MAX_CPUS;
use crate::tables::Flags;

/// Makes the stack of a CPU, and returns its end. `None` if memory is full.
pub(crate) fn of_cpu(cpu: usize) -> Option<usize> {
    make(cpu)
}

/// Makes the stack of a task, and returns its end. `None` if memory is full.
pub(crate) fn of_task(id: usize) -> Option<usize> {
    make(MAX_CPUS + id)
}

/// Bytes from one stack to the next.
pub(crate) const DISTANCE: usize = (PAGES + 1) * PAGE;
const PAGES: usize = 4;

fn make(index: usize) -> Option<usize> {
    let start = STACKS.start + index * DISTANCE;
    let end = start + DISTANCE;
    if end > STACKS.end {
        return None;
    }
    for address in (start + PAGE..end).step_by(PAGE) {
        let (frame, _) = frames::allocate()?;
        paging::map(address, frame, Flags::DATA).ok()?;
    }
    Some(end)
}
