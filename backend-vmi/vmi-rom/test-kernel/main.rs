//! A kernel that calls everything in the VMI ROM and looks at what it does.
//!
//! Multiboot 1 loads it at 1 MiB. It runs there and maps the first 16 MiB a second time at 3 GiB, where
//! it calls the ROM, so that the ROM does not run where it lies. A line on the serial port for each
//! check, the count in the end; then it leaves QEMU by isa-debug-exit. Words on its command line say what
//! it is to expect.
#![cfg_attr(target_arch = "x86", no_std, no_main)]

#[cfg(target_arch = "x86")]
#[path = "../../src/abi/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is written for guests")]
mod abi;
#[cfg(target_arch = "x86")]
#[path = "../src/rom/memory.rs"]
mod memory;

#[cfg(target_arch = "x86")]
mod boot;
#[cfg(target_arch = "x86")]
mod checks;
#[cfg(target_arch = "x86")]
mod console;
#[cfg(target_arch = "x86")]
mod interrupts;
#[cfg(target_arch = "x86")]
mod paging;
#[cfg(target_arch = "x86")]
mod rom;
#[cfg(target_arch = "x86")]
mod segments;

#[cfg(not(target_arch = "x86"))]
fn main() {
    eprintln!("the kernel is built by `cargo xtask test`");
    std::process::exit(2);
}
