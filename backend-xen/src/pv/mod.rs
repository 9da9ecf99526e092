//! PV guests: the kernel runs in ring 3, on page tables that Xen looks through.
//!
//! Xen's public/xen.h and public/arch-x86/xen-x86_64.h.
//!
//! # Panics
//!
//! Ops have no errors. Those that ask Xen for something it refuses panic, with the call and Xen's error: a page
//! table that is not as Xen wants it, a descriptor, the address of what has no memory. So do `activate_tables`
//! and `load_gdt` where the kernel has no frame for the second table or the copy. In lazy mode the panic comes
//! when the batch is made.

mod address;
mod batch;
pub(crate) mod console;
mod cpu;
mod descriptors;
mod direct_map;
mod entry;
mod events;
mod exits;
mod frame_list;
mod frame_notes;
pub(crate) mod given;
mod hidden_frames;
mod irq;
mod mmu;
pub(crate) mod own_frames;
mod page_table_calls;
mod ports;
mod smp;
mod start;
mod start_info;
pub(crate) mod suspension;
mod tables;
mod this_cpu;
mod time;
mod translation;
mod traps;
mod upcall_mask;
mod vcpu_record;

use pvops_backend_native as native;
use pvops_core::backend::{BindError, Host};
use pvops_core::tsc::{self, TscFrequency};
use pvops_core::{Bindings, PerCpuSegment, bindings, call, inline, preserve};

use crate::poll::YIELD_CPU;
use crate::vcpu::VcpuId;
use crate::{clock, event_channel, lock, runstate, shared_frame, shutdown, vcpu};

pub use address::AddressLayout;
pub use console::read_console;
pub use ports::{PortAccess, set_port_access, set_port_bitmap};
pub use start::{StartError, start};
pub(crate) use translation::Pfn;

/// Whether the kernel was [started](start) as a PV guest.
pub(crate) fn is_started() -> bool {
    translation::frames() != 0
}

/// Binds every op: nothing is left to hardware that a kernel in ring 3 can't touch.
pub(crate) fn bind(host: &Host<'_>) -> Result<Bindings, BindError> {
    vcpu_record::register(host.kernel, 0).map_err(|_| REFUSED)?;
    frame_list::publish(host.kernel).map_err(|_| BindError("no memory for the list of frames"))?;
    let parameters = clock::start_on(0).ok_or(BindError("Xen keeps no time for this CPU"))?;
    if let Some(frequency) = TscFrequency::new(parameters.scale.tsc_khz(), "xen") {
        tsc::publish(frequency);
    }
    let mut bindings = BINDINGS;
    bindings.lock = lock::sleeping(bindings.lock);
    bindings.system.console_byte = console::binding();
    if let Some(area) = host.kernel.per_cpu_area(0) {
        bindings.irq = irq::at(area);
        bindings.mmu = mmu::by(area.segment);
    }
    if clock::start_wall_clock() {
        bindings.time.wall_clock_ns = call!(time::wall_clock_ns, clock::wall_clock_ns);
    }
    Ok(bindings)
}

/// Has Xen keep its records for this CPU, and send it events.
pub(crate) fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    const NO_MEMORY: BindError = BindError("no memory for what this CPU shares with Xen");
    let cpu = host.kernel.cpu_index();
    let vcpu = VcpuId(cpu as u32);
    vcpu::set_id(cpu, vcpu);
    // Again, where the domain has moved.
    vcpu_record::register(host.kernel, cpu).map_err(|_| REFUSED)?;
    // It knows its number now.
    descriptors::expect_nobody();
    batch::start(host.kernel).ok_or(NO_MEMORY)?;
    let frame = shared_frame::of_this_cpu(host.kernel).ok_or(NO_MEMORY)?;
    // SAFETY: the record is this CPU's.
    unsafe { runstate::start(host.kernel, vcpu, &frame.runstate) }
        .map_err(|_| BindError("Xen refuses to note the states of this CPU"))?;
    vcpu::stop_periodic_timer(vcpu).map_err(|_| BindError("Xen knows nothing of this CPU"))?;
    // SAFETY: the kernel is what uses ports.
    unsafe { ports::set_port_access(PortAccess::Kernel) }
        .map_err(|_| BindError("Xen lets this CPU access no ports"))?;
    traps::start().map_err(|_| BindError("Xen refuses the callbacks"))?;
    event_channel::bring_up(host.kernel, vcpu, frame)?;
    lock::bring_up(host.kernel).map_err(|_| BindError("Xen gives this CPU no port to poll"))?;
    events::start().map_err(|_| BindError("Xen gives this CPU no event channels"))?;
    clock::start(host.kernel).ok_or(BindError("Xen keeps no time for this CPU"))?;
    Ok(())
}

/// Leaves this CPU as it is before it is started.
pub(crate) fn take_down_cpu(_host: &Host<'_>) {
    events::stop();
    event_channel::take_down(this_cpu::index());
    let _ = vcpu::stop_singleshot_timer(this_cpu::id());
}

const REFUSED: BindError = BindError("Xen refuses the record of this CPU");

/// What this backend binds in a PV guest, for tools that show what it puts at call sites. The kernel is
/// taken to have given a place 64 bytes behind the base of GS. Nothing is touched.
pub fn typical() -> Bindings {
    Bindings {
        irq: irq::by_gs(64),
        mmu: mmu::by(PerCpuSegment::Gs),
        time: bindings::time {
            wall_clock_ns: call!(time::wall_clock_ns, clock::wall_clock_ns),
            ..BINDINGS.time
        },
        lock: BINDINGS.lock.with_sleep(lock::WAIT, lock::KICK),
        ..BINDINGS
    }
}

/// FLAT_KERNEL_CS64 and FLAT_KERNEL_SS64 of Xen's public/arch-x86/xen-x86_64.h.
const KERNEL_CODE: u16 = 0xe033;
const KERNEL_STACK_SEGMENT: u16 = 0xe02b;

/// What a PV guest binds; before the backend is installed, too.
pub(crate) const BINDINGS: Bindings = Bindings {
    cpu: cpu::BINDINGS,
    irq: irq::CALLED,
    mmu: mmu::BINDINGS,
    time: time::BINDINGS,
    io: native::BEFORE_INSTALL.io,
    apic: smp::APIC,
    smp: smp::BINDINGS,
    system: bindings::system {
        hypercall: inline!(system::hypercall, "syscall"),
        console_byte: crate::console::XEN_CONSOLE,
        poweroff: call!(system::poweroff, shutdown::poweroff),
        reboot: call!(system::reboot, shutdown::reboot),
        report_crash: call!(system::report_crash, shutdown::report_crash),
        yield_cpu: YIELD_CPU,
    },
    lock: bindings::lock::AWAKE.with_preemption(preserve!(
        lock::vcpu_is_preempted,
        runstate::vcpu_is_preempted
    )),
};
