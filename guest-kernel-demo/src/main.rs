#![no_std]
#![no_main]
//! Demo kernel.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
