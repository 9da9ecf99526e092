//! The lock of the library, so that lines of several CPUs would not mix.

use pvops_core::lock::{CpuIndex, Mutex};

pub(crate) static CONSOLE: Mutex<ThisCpu, ()> = Mutex::new(());

pub(crate) struct ThisCpu;

impl CpuIndex for ThisCpu {
    fn cpu_index() -> usize {
        // There is one.
        0
    }
}
