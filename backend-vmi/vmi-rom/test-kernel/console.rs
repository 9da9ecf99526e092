//! The serial port, the results, and the end.

use core::arch::asm;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

const COM1: u16 = 0x3F8;
const DEBUG_EXIT: u16 = 0xF4;
pub(crate) const PASS: u8 = 0x10;
pub(crate) const FAIL: u8 = 0x11;

static CHECKS: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| out(COM1, byte));
        Ok(())
    }
}

macro_rules! say {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        // The serial port takes everything.
        let _ = writeln!($crate::console::Serial, $($argument)*);
    }};
}
pub(crate) use say;

/// One result.
pub(crate) fn record(name: fmt::Arguments<'_>, holds: bool) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    if !holds {
        FAILED.fetch_add(1, Ordering::Relaxed);
        say!("check {name}: FAILED");
    }
}

macro_rules! check {
    ($holds:expr, $($name:tt)*) => {
        $crate::console::record(format_args!($($name)*), $holds)
    };
}
pub(crate) use check;

pub(crate) fn exit_with_result() -> ! {
    let (checks, failed) = (
        CHECKS.load(Ordering::Relaxed),
        FAILED.load(Ordering::Relaxed),
    );
    say!("result: {checks} checks, {failed} failed");
    exit(if failed == 0 { PASS } else { FAIL })
}

pub(crate) fn exit(status: u8) -> ! {
    loop {
        out(DEBUG_EXIT, status);
    }
}

pub(crate) fn out(port: u16, value: u8) {
    // SAFETY: the kernel's own devices.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

pub(crate) fn input(port: u16) -> u8 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) };
    value
}
