//! The minimal kernel without pvops: it prints as much, and knows nothing.
#![no_std]
#![no_main]

#[path = "../console.rs"]
mod console;
#[path = "../../../src/entry.rs"]
mod entry;

use core::arch::x86_64::{__cpuid, _rdtsc};

use console::{PASS, end, println};

extern "C" fn start() -> ! {
    println(format_args!("kernel without pvops"));
    let leaf = __cpuid(0x4000_0000);
    println(format_args!("interface {} at {:#x}", "unknown", leaf.eax));
    // SAFETY: RDTSC has no conditions in ring 0.
    let ticks = unsafe { _rdtsc() };
    println(format_args!("clock {ticks} ticks"));
    end(PASS)
}
