//! The first Rust code: on the boot stack, on the tables of [`entry`](super::entry), interrupts off.

use pvops_core::cpu;

/// Where all loaders lead.
pub(super) extern "C" fn loaded(loader_info: u32, magic: u32) -> ! {
    demand_no_execute();
    crate::start(loader_info.into(), magic)
}

/// Data are not executable in this kernel, which not every 32-bit CPU can do.
fn demand_no_execute() {
    const EXTENDED_FEATURES: u32 = 0x8000_0001;
    const EDX_NO_EXECUTE: u32 = 1 << 20;
    let has_leaf = cpu::cpuid(EXTENDED_FEATURES - 1, 0).eax >= EXTENDED_FEATURES;
    if !has_leaf || cpu::cpuid(EXTENDED_FEATURES, 0).edx & EDX_NO_EXECUTE == 0 {
        panic!("this CPU can't keep data from being executed");
    }
}
