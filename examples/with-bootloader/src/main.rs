//! A kernel that another's loader loads (GRUB, QEMU's own, or Xen), on the crate `x86_64`: descriptor tables,
//! handlers and page tables are that crate's. What it does with privilege is in `privileged`, once by the
//! crate and once by ops; with ops it also takes a backend, a clock and an event timer into use.
#![no_std]
#![no_main]

mod descriptors;
mod entry;
mod paging;
mod privileged;
#[cfg(not(feature = "before"))]
mod pvops;

use core::fmt::{self, Write};

/// Where [`entry`] leads, in ring 0: with the loader's magic number, and the address of what it tells.
extern "C" fn start(magic: u32, info: u32) -> ! {
    println(format_args!(
        "kernel with a loader's magic number {magic:#x}"
    ));
    descriptors::load();
    #[cfg(not(feature = "before"))]
    pvops::start(magic, info);
    #[cfg(feature = "before")]
    println(format_args!("no pvops yet; {info:#x} is not looked at"));

    let on = privileged::without_interrupts(privileged::interrupts_are_on);
    assert!(!on, "interrupts are on where they are off");
    // SAFETY: every CPU since the Pentium Pro has it.
    let apic_base = unsafe { privileged::read_msr(0x1b) };
    println(format_args!("APIC base {apic_base:#x}"));
    paging::check();

    #[cfg(not(feature = "before"))]
    pvops::sleep();
    println(format_args!("pass"));
    end(PASS)
}

fn println(text: fmt::Arguments<'_>) {
    struct Console;
    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(privileged::console_byte);
            Ok(())
        }
    }
    // The console takes every byte.
    let _ = writeln!(Console, "{text}");
}

/// QEMU's isa-debug-exit makes of these the exit statuses 33 and 35.
const PASS: u32 = 0x10;
const FAIL: u32 = 0x11;

fn end(code: u32) -> ! {
    // SAFETY: no other device has this port.
    unsafe { privileged::write_port(0xf4, code) };
    loop {
        privileged::halt();
    }
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    println(format_args!("{information}"));
    end(FAIL)
}
