//! Ports in a PV guest of Xen, and returns that fail.

use pvops_backend_xen::XenError;
use pvops_backend_xen::pv::{PortAccess, set_port_access, set_port_bitmap};

use super::Outcome;
use crate::arch::probe;
use crate::scheduler::{self, KILLED};
use crate::text::{ensure, text};
use crate::work::run_on;
use crate::{cpus, per_cpu, programs};

/// Each CPU may access ports; not where the kernel has said so, but for those in the bitmap.
pub(super) fn ports() -> Outcome {
    for cpu in 0..cpus::count() {
        let step = if cpu == per_cpu::index() {
            on_this_cpu(0)
        } else {
            run_on(cpu, on_this_cpu, 0).unwrap_or(GONE)
        };
        ensure!(
            step == GOOD,
            "CPU {cpu}: {}",
            FAULTS.get(step as usize).unwrap_or(&"it is gone")
        );
    }
    Ok(text!("by level and by bitmap, on {} CPUs", cpus::count()))
}

const GOOD: u64 = 0;
const GONE: u64 = u64::MAX;
const FAULTS: [&str; 7] = [
    "good",
    "no access at first",
    "an access that is not allowed",
    "no access by the bitmap",
    "an access beside the bitmap",
    "no access again",
    "Xen refuses",
];

fn on_this_cpu(_: usize) -> u64 {
    try_all().unwrap_or(6)
}

fn try_all() -> Result<u64, XenError> {
    /// The port of a PC's diagnostic codes, which reading does not change.
    const PORT: u16 = 0x80;
    const NEXT: u16 = PORT + 1;
    /// Only that port.
    static BITMAP: [u8; 0x11] = {
        let mut bitmap = [0xff; 0x11];
        bitmap[PORT as usize / 8] = !(1 << (PORT % 8));
        bitmap
    };
    const FAULT: u32 = 256;
    // SAFETY: reading has no effect.
    let may_read = |port| unsafe { probe::read_port(port) } != FAULT;
    if !may_read(PORT) || !may_read(NEXT) {
        return Ok(1);
    }
    set_port_access(PortAccess::Nobody)?;
    let without = may_read(PORT);
    set_port_bitmap(&BITMAP)?;
    let (by_bitmap, beside) = (may_read(PORT), may_read(NEXT));
    set_port_bitmap(&[])?;
    set_port_access(PortAccess::Kernel)?;
    Ok(match (without, by_bitmap, beside) {
        (true, ..) => 2,
        (_, false, _) => 3,
        (.., true) => 4,
        _ if !may_read(NEXT) => 5,
        _ => GOOD,
    })
}

/// Where Xen can't return to a program, as the selector of its stack names no segment, the program gets
/// the exception.
pub(super) fn bad_return() -> Outcome {
    /// Beyond the entries of the kernel's table.
    const NO_SEGMENT: u16 = 0x1f8 | 3;
    const GENERAL_PROTECTION: u64 = KILLED | 13;
    let task = programs::spawn_on_stack_segment(programs::count(), NO_SEGMENT);
    scheduler::run();
    let end = task.and_then(scheduler::end);
    let code = end.map(|end| end.code);
    ensure!(
        code == Some(GENERAL_PROTECTION),
        "the program ended with {code:x?}"
    );
    Ok(text!("a program without a stack segment was ended"))
}
