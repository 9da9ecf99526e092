//! Measuring against the power-management timer, which machines with ACPI have.
//!
//! ACPI 6.5, section 4.8.3.3. Its port is in the FADT, which kernels read; so they tell us.

use core::sync::atomic::{AtomicU16, Ordering};

use pvops_core::io;

use crate::sample::Ruler;

/// Tells where the timer is: `PM_TMR_BLK` of the FADT. On the boot CPU, before the backend is installed.
///
/// # Safety
///
/// Reading 32 bits from that port has no effect.
pub unsafe fn set_pm_timer(port: u16) {
    PORT.store(port, Ordering::Relaxed);
}

const FREQUENCY_HZ: u64 = 3_579_545;
/// All timers have 24 bits; those of 32 need not be told apart for 1 ms.
const MASK: u32 = 0xff_ffff;

/// 0 if nobody has told us.
static PORT: AtomicU16 = AtomicU16::new(0);

/// The time-stamp counter's rate in kHz, or `None` if there is no timer, or it does not count.
pub(crate) fn tsc_khz() -> Option<u64> {
    let port = PORT.load(Ordering::Relaxed);
    if port == 0 {
        return None;
    }
    // SAFETY: the kernel says that this is the timer, and reading it has no effect.
    let read = || unsafe { io::in32(port) };
    Ruler {
        read,
        mask: MASK,
        frequency_hz: FREQUENCY_HZ,
    }
    .tsc_khz()
}
