//! Accesses that may fault, by way of the exception table.

use super::Outcome;
use crate::arch::probe;
use crate::layout::SCRATCH;
use crate::text::{ensure, text};
use crate::trap;

/// A page fault, where one may be.
#[derive(Debug)]
pub(super) struct Fault;

/// Reads a byte.
///
/// # Safety
///
/// If something is mapped there, reading it has no effect.
pub(super) unsafe fn probe_read(address: usize) -> Result<u8, Fault> {
    // SAFETY: the caller vouches for the effect, and the exception table for the fault.
    match unsafe { probe::read(address) } {
        byte @ 0..=255 => Ok(byte as u8),
        _ => Err(Fault),
    }
}

/// Writes back the byte that is there.
///
/// # Safety
///
/// If something is mapped there, reading it and writing it back has no effect.
pub(super) unsafe fn probe_write(address: usize) -> Result<(), Fault> {
    // SAFETY: as above.
    if unsafe { probe::write(address) } == 0 {
        Ok(())
    } else {
        Err(Fault)
    }
}

/// Jumps to a `ret` that lies in writable data.
pub(super) fn execute_data() -> Result<(), Fault> {
    // SAFETY: either the `ret` is executed, or the exception table leads to another.
    if unsafe { probe::execute() } == 0 {
        Ok(())
    } else {
        Err(Fault)
    }
}

/// An address that nothing is mapped at is an error, not the end.
pub(super) fn fault() -> Outcome {
    let before = trap::count(14);
    // SAFETY: nothing is mapped there.
    unsafe {
        ensure!(
            probe_read(SCRATCH.start).is_err(),
            "an unmapped page can be read"
        );
        ensure!(
            probe_write(SCRATCH.start).is_err(),
            "an unmapped page can be written"
        );
    }
    let faults = trap::count(14) - before;
    ensure!(faults == 2, "{faults} page faults instead of 2");
    Ok(text!("{faults} faults became errors"))
}
