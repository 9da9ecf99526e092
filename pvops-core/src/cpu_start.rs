//! What a CPU needs to come to life.

use crate::op::FromRegister;

/// Where and how a CPU is to start, for [`smp::start_cpu`](fn@crate::smp::start_cpu).
///
/// It starts in the mode of this code with interrupts off, with the control registers of the CPU that starts
/// it, flat segments that are not the kernel's, and no interrupt descriptor table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CpuStart {
    /// Where it begins.
    pub entry: extern "C" fn(usize) -> !,
    /// What `entry` is given.
    pub argument: usize,
    /// Its stack grows down from here; a multiple of 16.
    pub stack_top: usize,
    /// What its CR3 is to hold: the physical address of a top table, below 4 GiB, and flag bits or PCID. It maps
    /// the entry, the stack, and the frame for the trampoline, if any, at the frame's own physical
    /// address, executable.
    pub page_table: u64,
    /// Physical address of a frame below 1 MiB, but not the first, that nobody else uses meanwhile: where
    /// CPUs of a PC start. 0 if there is none: hosts that start CPUs by a call need none.
    pub trampoline_physical: u64,
    /// Where the caller can write that frame; null if there is none.
    pub trampoline: *mut u8,
}

/// The answer of [`smp::start_cpu`](fn@crate::smp::start_cpu).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[repr(transparent)]
pub struct StartStatus(pub(crate) usize);

impl StartStatus {
    /// The CPU was told to start. Whether it does, its entry has to say.
    pub const TOLD: StartStatus = StartStatus(0);
    /// The addresses are not as they have to be.
    pub const BAD_ADDRESS: StartStatus = StartStatus(1);
    /// This host gives no way to start a CPU.
    pub const UNAVAILABLE: StartStatus = StartStatus(2);
}

impl FromRegister for StartStatus {
    fn from_register(register: u64) -> Self {
        StartStatus(register as usize)
    }
}
