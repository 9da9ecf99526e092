//! The guest of a ROM: starting it, and the backend.

mod apic;
mod binder;
mod counts;
mod cpu;
mod entries;
mod io;
mod irq;
mod lazy;
mod mmu;
mod processors;
mod start;
mod system;
#[cfg(test)]
mod tests;
mod time;

use pvops_backend_native as native;
use pvops_core::Bindings;
use pvops_core::backend::{Backend, BindError, Host};
use pvops_core::tsc::TscFrequency;

use binder::Binder;

pub use counts::read_count;
pub use cpu::set_io_privilege_level;
pub use mmu::{CopiedEntries, clone_table, update_entry};
pub use start::{LowMemory, Start, kernel_rpl, routes, use_rom};
pub use time::wall_clock_was_set;

/// The backend for guests of a ROM that the kernel has [said to use](use_rom).
///
/// No CPUID leaf announces a ROM, so it is for the kernel to name this backend when it has found one.
pub static BACKEND: Backend = Backend {
    name: "vmi",
    signature: None,
    bind,
    bring_up_cpu,
    take_down_cpu: native::take_down_cpu,
};

/// Starts the ROM and binds what it has; the rest is left to the hardware, which the host emulates.
fn bind(host: &Host<'_>) -> Result<Bindings, BindError> {
    let routes = start::start()?;
    let binder = Binder::new(routes);
    if apic::has_both(&binder) {
        // The ROM's calls are about the page of registers.
        native::stay_out_of_x2apic();
    }
    let clock = time::start();
    let frequency = clock
        .filter(|_| time::counts_tsc())
        .and_then(|khz| TscFrequency::new(khz, "vmi"));
    let native = native::bind_with_tsc(host, frequency)?;
    Ok(Bindings {
        cpu: cpu::bind(&binder, native.cpu),
        irq: irq::bind(&binder, native.irq),
        mmu: mmu::bind(&binder, mmu::entries_of_this_mode(), native.mmu),
        time: time::bind(&binder, native.time),
        io: io::bind(&binder, native.io),
        apic: apic::bind(&binder, native.apic),
        smp: processors::bind(&binder, native.smp),
        system: system::bind(&binder, native.system),
        lock: native.lock,
    })
}

/// Tells the ROM on this CPU where the kernel has mapped its memory, and of its descriptor table.
fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    native::bring_up_cpu(host)?;
    mmu::set_linear_mapping();
    cpu::tell_gdt();
    Ok(())
}
