//! What ops make possible besides: the backend that fits, a clock, and an event timer.

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use pvops_backend_kvm as kvm;
use pvops_backend_native as native; // It defines the op table.
use pvops_backend_xen as xen;
use pvops_core::backend;
use pvops_core::boot_info::{BootInfo, PhysicalMemory};
use pvops_core::probe::Interfaces;
use pvops_core::{Kernel, apic, bring_up_cpu, cpu, install, irq, time};

use crate::descriptors::{TICKS, TIMER};
use crate::{paging, println};

/// Reads what the loader tells, and installs the backend. Interrupts off.
pub(crate) fn start(magic: u32, info: u32) {
    const MULTIBOOT: u32 = 0x2bad_b002;
    const PVH: u32 = 0x336e_c578;
    let interfaces = Interfaces::scan(&cpu::cpuid);
    // Xen's console works from here on, and it can be asked where memory is.
    // SAFETY: nobody else runs, interrupts are off, and this is ring 0.
    unsafe { xen::hvm::start(&interfaces) };
    let info = match magic {
        MULTIBOOT => BootInfo::from_multiboot(&Memory, magic, info.into()),
        PVH => BootInfo::from_pvh(&Memory, info.into()),
        _ => BootInfo::from_multiboot2(&Memory, magic, info.into()),
    };
    let mut info = info.unwrap_or_else(|error| panic!("boot information: {error}"));
    if info.memory_map_missing() {
        xen::add_memory_map(info.memory_map_mut())
            .unwrap_or_else(|error| panic!("no memory map: {error}"));
    }
    let bytes: u64 = info.memory_map().usable().map(|r| r.end - r.start).sum();
    println(format_args!("{:?}: {} MiB", info.protocol(), bytes >> 20));

    for interface in interfaces.iter() {
        let (signature, base) = (interface.signature(), interface.base());
        println(format_args!("interface {signature} at {base:#x}"));
    }
    let backend = backend::select(
        &[&native::BACKEND, &kvm::BACKEND, &xen::BACKEND],
        &interfaces,
        None,
    )
    .unwrap_or_else(|error| panic!("no backend: {error}"));
    // SAFETY: the boot CPU is alone, interrupts are off.
    let sites = unsafe { install(backend, &ThisKernel, &interfaces) }
        .unwrap_or_else(|error| panic!("backend {}: {error}", backend.name));
    // SAFETY: as above, once.
    unsafe { bring_up_cpu() }.unwrap_or_else(|error| panic!("this CPU: {error}"));
    println(format_args!(
        "backend {}, {} call sites patched",
        backend.name,
        sites.total()
    ));
}

const MILLISECOND_NS: u64 = 1_000_000;

/// Halts until the event timer's interrupt has come.
pub(crate) fn sleep() {
    const SPURIOUS: u32 = 0xf;
    const SPURIOUS_ENABLE: u32 = 1 << 8 | 0xff;
    // SAFETY: the vector has its handler, and no other interrupt source is on: the old controllers are
    // masked.
    unsafe {
        for port in [0x21, 0xa1] {
            pvops_core::io::out8(port, 0xff);
        }
        apic::write(SPURIOUS, SPURIOUS_ENABLE);
        time::setup_event(TIMER);
    }
    let start_ns = time::clock_ns();
    println(format_args!("clock {start_ns} ns"));
    let deadline_ns = start_ns + MILLISECOND_NS;
    while TICKS.load(Ordering::Relaxed) == 0 {
        let _ = time::set_event(deadline_ns);
        // SAFETY: the vector has its handler.
        unsafe { irq::safe_halt() };
        irq::disable();
    }
    time::cancel_event();
    let slept_ns = time::clock_ns() - start_ns;
    assert!(
        slept_ns >= MILLISECOND_NS,
        "the event came after {slept_ns} ns"
    );
    println(format_args!("slept {slept_ns} ns"));
}

/// In the timer's handler: has the event come again a while later. Some hosts let one in between enabling
/// interrupts and halting; the next ends the halt.
pub(crate) fn tick() {
    let _ = time::set_event(time::clock_ns() + 10 * MILLISECOND_NS);
    apic::eoi();
}

/// What the library wants to know.
struct ThisKernel;

// SAFETY: the tables of `entry` have the image at its physical addresses, writable, and the devices below
// 4 GiB; frames are given once.
unsafe impl Kernel for ThisKernel {
    fn virtual_to_physical(&self, address: usize) -> Option<u64> {
        // Frames to share are in the image.
        Some(address as u64)
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        NonNull::new(paging::take().start_address().as_u64() as *mut u8)
    }

    fn map_device(&self, physical: u64, length: usize) -> Option<NonNull<u8>> {
        const UNCACHED: Range<u64> = 3 << 30..4 << 30;
        let end = physical.checked_add(length as u64)?;
        let is_mapped = UNCACHED.start <= physical && end <= UNCACHED.end;
        NonNull::new(physical as *mut u8).filter(|_| is_mapped)
    }

    fn cpu_index(&self) -> usize {
        0
    }

    unsafe fn with_writable_text(&self, _range: Range<usize>, write: &mut dyn FnMut(isize)) {
        write(0);
    }
}

/// All memory below 3 GiB, where it is.
struct Memory;

impl PhysicalMemory for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        const END: u64 = 3 << 30;
        let end = address.checked_add(length as u64)?;
        // SAFETY: mapped; a loader's data, which nobody writes now. Nothing is at address 0.
        (address != 0 && end <= END)
            .then(|| unsafe { core::slice::from_raw_parts(address as *const u8, length) })
    }
}
