//! A small kernel that does all its privileged work through pvops.
//!
//! It boots by PVH, chooses the backend for the host it finds itself on, has its call sites patched,
//! and then checks that everything works. Read `arch/*/entry.rs` for how it starts and [`start`] for how a
//! kernel takes pvops into use; [`platform`] is all that it has to provide.
#![no_std]
#![no_main]

mod acpi;
mod address_space;
mod arch;
mod boot;
mod console;
mod cpus;
mod demand;
mod exit;
mod frames;
mod hand_over;
mod interrupts;
mod layout;
mod measure;
mod paging;
mod per_cpu;
mod platform;
mod programs;
mod ready_queue;
mod scheduler;
mod selftest;
mod stacks;
mod syscall;
mod tables;
mod task;
mod text;
mod trap;
mod work;
mod workloads;
mod writable_alias;
mod xen_trace;
mod xenstore;

use pvops_backend_kvm as kvm;
use pvops_backend_native as native;
use pvops_backend_xen as xen;
use pvops_core::backend::{self, Backend};
use pvops_core::boot_info::BootInfo;
use pvops_core::probe::Interfaces;
use pvops_core::{bring_up_cpu, cpu, install, lock, system};

use crate::arch::{frame, gdt, idt, trap_entry};
use crate::console::println;
use crate::hand_over::Successor;
use crate::layout::{DIRECT_MAP, KERNEL_OFFSET, MAPPED, PAGE};
use crate::platform::Platform;

/// The hosts that this kernel knows.
static BACKENDS: [&Backend; 3] = [&native::BACKEND, &kvm::BACKEND, &xen::BACKEND];

/// The first Rust code: on the boot stack, on the tables of [`entry`], interrupts off.
extern "C" fn start(start_info: u64) -> ! {
    let interfaces = Interfaces::scan(&cpu::cpuid);
    // SAFETY: nobody else runs, interrupts are off, and this CPU is in ring 0.
    unsafe { xen::hvm::start(&interfaces) };
    run(&interfaces, boot::pvh(start_info))
}

/// The first Rust code of a PV guest of Xen: on the boot stack, on Xen's tables, in ring 3.
extern "C" fn start_xen_pv(start_info: *const u8) -> ! {
    let layout = xen::pv::AddressLayout {
        image: KERNEL_OFFSET,
        direct_map: DIRECT_MAP,
    };
    // SAFETY: nobody else runs, and that is where things are.
    let info = unsafe { xen::pv::start(start_info, layout, MAPPED / PAGE as u64) }
        .unwrap_or_else(|error| panic!("this kernel can't be a PV guest: {error}"));
    run(&Interfaces::scan(&cpu::cpuid), info)
}

/// Takes the machine into use, and checks that everything works.
fn run(interfaces: &Interfaces, info: BootInfo<'_>) -> ! {
    println!("pvops demo kernel {}", env!("CARGO_PKG_VERSION"));
    // SAFETY: these set up the CPU and memory once, in the order that they depend on each other.
    let machine = unsafe {
        gdt::load(0);
        per_cpu::load(0);
        idt::prepare();
        idt::load();
        boot::start(info)
    };
    let command_line = machine.command_line;
    if let Some(khz) = command_line
        .value("tsc-khz")
        .and_then(|khz| khz.parse().ok())
    {
        native::set_tsc_khz(khz);
    }
    if command_line.flag("nopvspin") {
        lock::keep_waiters_awake();
    }
    // SAFETY: the handlers in `trap` do what they have to.
    unsafe {
        kvm::async_page_fault::set_vector(trap::PAGE_READY_VECTOR);
        xen::event_channel::set_vector(trap::EVENT_VECTOR);
    }
    if command_line.value("xen-events") == Some("2level") {
        xen::event_channel::want_two_level();
    }
    if command_line.value("xen-callback") == Some("vector") {
        xen::hvm::set_callback(xen::hvm::Callback::Vector);
    }
    interrupts::mask_legacy();
    let measure = command_line.flag("measure");
    let is_privileged = !selftest::host_lacks(command_line, "ring-0");
    if measure && is_privileged {
        measure::before_patching();
    }

    let backend = backend::select(&BACKENDS, interfaces, command_line.value("pv"))
        .unwrap_or_else(|error| panic!("no backend: {error}"));
    // SAFETY: the boot CPU is alone, interrupts are off.
    let sites = unsafe { install(backend, &Platform, interfaces) }
        .unwrap_or_else(|error| panic!("the backend {} can't be installed: {error}", backend.name));
    if paging::seal_op_table().is_err() {
        panic!("no memory to make the op table read-only");
    }

    boot::report(backend, interfaces, sites);
    xenstore::start();
    let command_line = match command_line.as_bytes() {
        [] => xenstore::command_line().unwrap_or(command_line),
        _ => command_line,
    };
    if selftest::host_lacks(command_line, "sti-shadow") {
        interrupts::distrust_halt();
    }
    if measure && is_privileged {
        measure::after_patching();
    }
    // SAFETY: the descriptor table is loaded and a backend installed; each step once.
    unsafe {
        if let Err(error) = bring_up_cpu() {
            panic!("the boot CPU: {error}");
        }
        trap_entry::enable_syscalls();
        interrupts::start();
        cpus::start(&machine);
    }
    if measure {
        measure::boot();
        workloads::measure();
        if !is_privileged {
            measure::xen::measure();
        }
    }
    if command_line.flag("xen-trace")
        && let Err(error) = xen_trace::start()
    {
        panic!("Xen traces nothing: {error}");
    }
    let summary = selftest::run(command_line);
    if summary.is_pass() && command_line.flag("hand-over") {
        let successor = Successor::new(&machine)
            .unwrap_or_else(|error| panic!("the machine can't be handed over: {error}"));
        // SAFETY: this is the boot CPU, and the others wait for work.
        unsafe { successor.start() }
    }
    summary.report();
    let end = command_line.value("end");
    if end == Some("toolstack") {
        let request = selftest::xen_domain::await_shutdown()
            .unwrap_or_else(|error| panic!("the toolstack does not shut the domain down: {error}"));
        println!("the toolstack says {request}");
    }
    if end.is_some()
        && let Err(cpu) = cpus::stop_others()
    {
        println!("CPU {cpu} does not stop");
    }
    match end {
        Some("poweroff" | "toolstack") => exit::off(),
        Some("reboot") => exit::reset(),
        _ => {}
    }
    if summary.is_pass() {
        exit::pass()
    } else {
        exit::fail()
    }
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    println!("{information}");
    system::report_crash();
    exit::fail()
}
