//! The first Rust code: on the boot stack, interrupts off.

use pvops_backend_xen as xen;
use pvops_core::cpu;
use pvops_core::probe::Interfaces;

use super::layout::{DIRECT_MAP, KERNEL_OFFSET, MAPPED};
use crate::layout::PAGE;

/// Where loaders lead that go by PVH or Multiboot2: on the tables of [`entry`](super::entry).
pub(super) extern "C" fn loaded(loader_info: u64, magic: u32) -> ! {
    crate::start(loader_info, magic)
}

/// Where Xen leads a PV guest: on Xen's tables, in ring 3.
pub(super) extern "C" fn xen_pv(start_info: *const u8) -> ! {
    let layout = xen::pv::AddressLayout {
        image: KERNEL_OFFSET,
        direct_map: DIRECT_MAP,
    };
    // SAFETY: nobody else runs, and that is where things are.
    let info = unsafe { xen::pv::start(start_info, layout, MAPPED / PAGE as u64) }
        .unwrap_or_else(|error| panic!("this kernel can't be a PV guest: {error}"));
    crate::run(&Interfaces::scan(&cpu::cpuid), info)
}
