//! Measuring against the high-precision event timer.
//!
//! IA-PC HPET specification 1.0a, section 2.3. Its address is in the ACPI table `HPET`, which
//! kernels read; so they tell us.

use core::sync::atomic::{AtomicU64, Ordering};

use pvops_core::{Kernel, atomic64};

use crate::sample::Ruler;

/// Tells the physical address of the timer's registers. On the boot CPU, before the backend is installed.
///
/// # Safety
///
/// An HPET is there, and the kernel can do with its main counter running.
pub unsafe fn set_hpet(physical: u64) {
    atomic64::store(&PHYSICAL, physical, Ordering::Relaxed);
}

/// Femtoseconds in a second, and the longest period that the specification allows, in femtoseconds.
const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
const MAX_PERIOD_FS: u64 = 100_000_000;
/// Registers: capabilities (the period is the upper half), configuration, main counter.
const PERIOD: usize = 0x004;
const CONFIGURATION: usize = 0x010;
const ENABLE: u32 = 1 << 0;
const COUNTER: usize = 0x0f0;
const LENGTH: usize = 1024;

/// 0 if nobody has told us.
static PHYSICAL: AtomicU64 = AtomicU64::new(0);

/// The time-stamp counter's rate in kHz, or `None` if there is no timer, or it does not count.
pub(crate) fn tsc_khz(kernel: &dyn Kernel) -> Option<u64> {
    let physical = atomic64::load(&PHYSICAL, Ordering::Relaxed);
    if physical == 0 {
        return None;
    }
    let registers = kernel.map_device(physical, LENGTH)?;
    // SAFETY: the kernel says that the timer is there, and has mapped its registers.
    let register = |offset: usize| unsafe { registers.as_ptr().add(offset).cast::<u32>() };
    // SAFETY: as above; starting the counter disturbs nobody.
    let period_fs = unsafe {
        let configuration = register(CONFIGURATION).read_volatile();
        register(CONFIGURATION).write_volatile(configuration | ENABLE);
        u64::from(register(PERIOD).read_volatile())
    };
    if period_fs == 0 || period_fs > MAX_PERIOD_FS {
        return None;
    }
    // SAFETY: as above.
    let read = || unsafe { register(COUNTER).read_volatile() };
    Ruler {
        read,
        mask: u32::MAX,
        frequency_hz: FEMTOSECONDS / period_fs,
    }
    .tsc_khz()
}
