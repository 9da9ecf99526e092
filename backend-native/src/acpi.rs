//! Turning the machine off by ACPI.
//!
//! Finding the register takes an interpreter of the firmware's tables, which kernels have; so they
//! tell us. ACPI 6.5, sections 4.8.3.2 (PM1 control registers) and 7.4.2 (sleep types).

use core::sync::atomic::{AtomicU32, Ordering};

use pvops_core::binding::Binding;
use pvops_core::op::system::poweroff;
use pvops_core::{call, io};

/// Tells [`poweroff`](fn@pvops_core::system::poweroff) how: `port` is the PM1a control block of the
/// FADT, `sleep_type` the first value of the object `\_S5` (0 to 7). Any context.
///
/// # Safety
///
/// Writing that value to that port turns this machine off, if it does anything.
pub unsafe fn set_sleep_control(port: u16, sleep_type: u8) {
    let value = u32::from(sleep_type & 7) << SLEEP_TYPE_SHIFT | SLEEP_ENABLE;
    CONTROL.store(u32::from(port) << 16 | value, Ordering::Relaxed);
}

pub(crate) const POWEROFF: Binding<poweroff> = call!(system::poweroff, power_off);

const SLEEP_TYPE_SHIFT: u32 = 10;
const SLEEP_ENABLE: u32 = 1 << 13;

/// The port in the upper half, the value in the lower; 0 if nobody has told us.
static CONTROL: AtomicU32 = AtomicU32::new(0);

/// The chipset takes a moment; a port read takes about a microsecond.
const WAIT_READS: u32 = 100_000;

/// The op [`poweroff`](fn@pvops_core::system::poweroff), for backends that do something before. Returns if
/// no register was [told](set_sleep_control), or it turns nothing off. Any context.
///
/// # Safety
///
/// What is running is to end.
pub unsafe extern "C" fn power_off() {
    let control = CONTROL.load(Ordering::Relaxed);
    if control != 0 {
        let port = (control >> 16) as u16;
        // SAFETY: the kernel said that this is the sleep register, and wants the machine off.
        unsafe {
            io::out16(port, control as u16);
            for _ in 0..WAIT_READS {
                io::in16(port);
            }
        }
    }
}
