//! What is in the ROM.

mod alarm;
mod apic;
mod clock;
mod count;
mod cpu;
mod deferred;
mod descriptors;
mod entries;
mod fw_cfg;
mod head;
mod init;
mod instructions;
mod interrupts_off;
mod kvm;
mod memory;
mod paging;
mod pit;
mod port;
mod rtc;
mod settings;
mod start;
mod state;
mod system;
mod window;

/// Nothing in the ROM panics on purpose; there is nobody to tell.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
