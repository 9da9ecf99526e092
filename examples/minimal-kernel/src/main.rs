//! The least that a kernel needs to run on pvops: it finds out where it is, has its call sites patched
//! for that host, and reads the clock.
//!
//! One CPU, interrupts off, all memory at its physical address, no linker script. `entry` has the first
//! instructions, and `xen_pv` what a PV guest of Xen needs besides.
#![no_std]
#![no_main]

#[cfg(feature = "lock")]
mod console_lock;
mod entry;
#[cfg(feature = "xen")]
mod xen_pv;

use core::fmt::{self, Write};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "kvm")]
use pvops_backend_kvm as kvm;
use pvops_backend_native as native; // It defines the op table.
#[cfg(feature = "xen")]
use pvops_backend_xen as xen;
use pvops_core::backend::{self, Backend};
use pvops_core::probe::Interfaces;
use pvops_core::{Kernel, bring_up_cpu, cpu, install, io, irq, system, time};

/// The hosts that this kernel knows.
static BACKENDS: &[&Backend] = &[
    &native::BACKEND,
    #[cfg(feature = "kvm")]
    &kvm::BACKEND,
    #[cfg(feature = "xen")]
    &xen::BACKEND,
];

/// Where [`entry`] leads, in ring 0. Ops work from here on, by calls of the native functions.
extern "C" fn start() -> ! {
    let interfaces = Interfaces::scan(&cpu::cpuid);
    // Xen takes calls from here on; the console is a call to its first domain.
    // SAFETY: nobody else runs, and interrupts are off.
    #[cfg(feature = "xen")]
    unsafe {
        xen::hvm::start(&interfaces)
    };
    run(&interfaces)
}

/// Takes pvops into use, and shows that it works.
fn run(interfaces: &Interfaces) -> ! {
    println(format_args!("minimal kernel"));
    for interface in interfaces.iter() {
        let (signature, base) = (interface.signature(), interface.base());
        println(format_args!("interface {signature} at {base:#x}"));
    }
    let backend = backend::select(BACKENDS, interfaces, None)
        .unwrap_or_else(|error| panic!("no backend: {error}"));
    // SAFETY: the boot CPU is alone, interrupts are off. On other CPUs: bring_up_cpu alone.
    let sites = unsafe { install(backend, &MinimalKernel, interfaces) }
        .unwrap_or_else(|error| panic!("backend {}: {error}", backend.name));
    // SAFETY: as above, once.
    unsafe { bring_up_cpu() }.unwrap_or_else(|error| panic!("this CPU: {error}"));

    let start_ns = time::clock_ns();
    println(format_args!(
        "backend {}, {} call sites patched",
        backend.name,
        sites.total()
    ));
    println(format_args!("clock {start_ns} ns"));
    // It may stand still for a millisecond, where the host corrects it.
    let passed_ns = (0..1_000_000)
        .map(|_| time::clock_ns() - start_ns)
        .find(|&passed_ns| passed_ns > 0)
        .expect("the clock stands still");
    println(format_args!("{passed_ns} ns later: pass"));
    end(PASS)
}

/// What the library wants to know.
struct MinimalKernel;

// SAFETY: the tables of `entry` and of Xen have the image at its physical addresses, writable, and those
// of `entry` the devices below 4 GiB, too.
unsafe impl Kernel for MinimalKernel {
    fn virtual_to_physical(&self, address: usize) -> Option<u64> {
        // Frames to share are in the image.
        Some(address as u64)
    }

    fn shared_frame(&self) -> Option<NonNull<u8>> {
        const COUNT: usize = 16;
        #[repr(C, align(4096))]
        struct Frames([[u8; 4096]; COUNT]);
        static mut FRAMES: Frames = Frames([[0; 4096]; COUNT]);
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let index = NEXT.fetch_add(1, Ordering::Relaxed);
        let frames: *mut [u8; 4096] = (&raw mut FRAMES).cast();
        NonNull::new(frames.wrapping_add(index).cast()).filter(|_| index < COUNT)
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

fn println(text: fmt::Arguments<'_>) {
    struct Console;
    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(system::console_byte);
            Ok(())
        }
    }
    #[cfg(feature = "lock")]
    let _guard = console_lock::CONSOLE.lock();
    // The console takes every byte.
    let _ = writeln!(Console, "{text}");
}

/// QEMU's isa-debug-exit makes of these the exit statuses 33 and 35.
const PASS: u32 = 0x10;
const FAIL: u32 = 0x11;

fn end(code: u32) -> ! {
    // SAFETY: no other device has this port.
    unsafe { io::out32(0xf4, code) };
    system::poweroff();
    loop {
        irq::halt();
    }
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    println(format_args!("{information}"));
    end(FAIL)
}
