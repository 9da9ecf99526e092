//! A console, and an end.

use core::arch::asm;
use core::fmt::{self, Write};

pub fn println(text: fmt::Arguments<'_>) {
    struct Console;
    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: the port is COM1's, or nobody's.
            text.bytes()
                .for_each(|byte| unsafe { asm!("out dx, al", in("dx") 0x3f8, in("al") byte) });
            Ok(())
        }
    }
    // The console takes every byte.
    let _ = writeln!(Console, "{text}");
}

/// QEMU's isa-debug-exit makes of these the exit statuses 33 and 35.
pub const PASS: u32 = 0x10;
pub const FAIL: u32 = 0x11;

pub fn end(code: u32) -> ! {
    // SAFETY: no other device has this port.
    unsafe { asm!("out dx, eax", in("dx") 0xf4, in("eax") code) };
    loop {
        // SAFETY: interrupts are off.
        unsafe { asm!("hlt") };
    }
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    println(format_args!("{information}"));
    end(FAIL)
}
