//! The end: QEMU's isa-debug-exit where there is one, else off, else halted.
//!
//! Only isa-debug-exit tells QEMU whether all went well; with `end=poweroff` or `end=reboot` on the
//! command line it is passed over.

use pvops_core::{io, irq, system};

use crate::console::println;

/// Ends with success.
pub(crate) fn pass() -> ! {
    end(0x10)
}

/// Ends with failure.
pub(crate) fn fail() -> ! {
    end(0x11)
}

/// QEMU ends with status `code * 2 + 1`: 33 for a pass, 35 for a failure.
fn end(code: u32) -> ! {
    const DEBUG_EXIT: u16 = 0xf4;
    // SAFETY: no other device has this port.
    unsafe { io::out32(DEBUG_EXIT, code) };
    off()
}

/// Resets the machine, or halts for ever.
pub(crate) fn reset() -> ! {
    println!("resetting the machine");
    system::reboot();
    println!("this machine can't be reset");
    off()
}

/// Turns the machine off, or halts for ever.
pub(crate) fn off() -> ! {
    irq::disable();
    system::poweroff();
    println!("this machine can't be turned off");
    loop {
        irq::halt();
    }
}
