//! A small kernel that does all its privileged work through pvops.
//!
//! It boots by PVH, by Multiboot2 or as a PV guest of Xen, chooses the backend for the host it finds
//! itself on, has its call sites patched, and then checks that everything works. Read `arch/*/entry.rs`
//! for how it starts and [`start`] for how a kernel takes pvops into use; [`platform`] is all that it has
//! to provide.
#![no_std]
#![no_main]

mod acpi;
mod address_space;
mod arch;
mod bench;
mod boot;
mod clocks;
mod console;
mod contention;
mod cpus;
mod demand;
mod exit;
mod frames;
mod hand_over;
#[cfg(target_arch = "x86_64")]
mod image_frames;
mod interrupts;
mod io_apic;
mod layout;
#[cfg(target_arch = "x86_64")]
mod measure;
mod multiboot2;
mod paging;
mod per_cpu;
mod platform;
mod programs;
mod ready_queue;
#[cfg(target_arch = "x86_64")]
mod record;
mod scheduler;
mod selftest;
mod stacks;
mod syscall;
mod tables;
mod task;
mod text;
mod trap;
#[cfg(target_arch = "x86")]
mod vmi;
mod work;
mod workloads;
mod writable_alias;
#[cfg(target_arch = "x86_64")]
mod xen_trace;
mod xenstore;

use pvops_backend_kvm as kvm;
use pvops_backend_native as native;
use pvops_backend_xen as xen;
use pvops_backend_xen::shutdown_request::ShutdownRequest;
use pvops_core::backend::{self, Backend};
use pvops_core::boot_info::{BootInfo, CommandLine};
use pvops_core::patch::Counts;
use pvops_core::probe::Interfaces;
use pvops_core::{InstallError, InterruptVector, bring_up_cpu, cpu, install, lock, system};

use crate::arch::{frame, gdt, idt, trap_entry};
use crate::console::println;
use crate::hand_over::Successor;
use crate::platform::Platform;

/// The hosts that this kernel knows.
#[cfg(target_arch = "x86_64")]
static BACKENDS: [&Backend; 3] = [&native::BACKEND, &kvm::BACKEND, &xen::BACKEND];
/// The same, of the 32-bit kernel.
#[cfg(target_arch = "x86")]
static BACKENDS: [&Backend; 4] = [
    &native::BACKEND,
    &kvm::BACKEND,
    &xen::BACKEND,
    &pvops_backend_vmi::BACKEND,
];

/// Where all boot protocols lead, in ring 0: with the address of the loader's information, and its magic
/// number if it has one.
fn start(loader_info: u64, magic: u32) -> ! {
    let interfaces = Interfaces::scan(&cpu::cpuid);
    // SAFETY: nobody else runs, interrupts are off, and this CPU is in ring 0.
    unsafe { xen::hvm::start(&interfaces) };
    run(&interfaces, boot::read(loader_info, magic))
}

/// Takes the machine into use, and checks that everything works.
fn run(interfaces: &Interfaces, info: BootInfo<'_>) -> ! {
    println!("pvops demo kernel {}", env!("CARGO_PKG_VERSION"));
    // SAFETY: these set up the CPU and memory once, in the order that they depend on each other.
    let mut machine = unsafe {
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
    const PAGE_READY: InterruptVector = InterruptVector::new(trap::PAGE_READY_VECTOR).unwrap();
    // SAFETY: the handler in `trap` does what it has to.
    unsafe { kvm::async_page_fault::set_vector(PAGE_READY) };
    prepare_for_xen(command_line, &mut machine);
    interrupts::mask_legacy();
    let measure = command_line.flag("measure");
    #[cfg(target_arch = "x86_64")]
    let is_privileged = !selftest::host_lacks(command_line, "ring-0");
    #[cfg(target_arch = "x86_64")]
    if measure && is_privileged {
        measure::before_patching();
    }

    let name = command_line.value("pv");
    #[cfg(target_arch = "x86")]
    let name = name.or(machine.rom.map(|_| pvops_backend_vmi::BACKEND.name));
    #[cfg(target_arch = "x86")]
    if let Some(rom) = machine.rom {
        // SAFETY: the boot CPU does so once, on the kernel's own tables.
        if unsafe { vmi::prepare(rom) }.is_err() {
            panic!("no memory to map the VMI ROM");
        }
    }
    #[cfg(target_arch = "x86_64")]
    if command_line.flag("record") {
        // SAFETY: the boot CPU is alone, interrupts are off.
        unsafe { record::boot(name) }
    }
    let (backend, sites) = install_backend(interfaces, name);
    if paging::seal_op_table().is_err() {
        panic!("no memory to make the op table read-only");
    }

    boot::report(backend, interfaces, sites);
    #[cfg(target_arch = "x86")]
    {
        vmi::say(backend);
        if command_line.flag("list-sites") {
            vmi::list_sites();
        }
        paging::announce();
    }
    let command_line = xenstore::start(command_line);
    if selftest::host_lacks(command_line, "sti-shadow") {
        interrupts::distrust_halt();
    }
    #[cfg(target_arch = "x86_64")]
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
        #[cfg(target_arch = "x86_64")]
        measure::boot();
        #[cfg(target_arch = "x86")]
        vmi::measure::ops();
        workloads::measure();
        #[cfg(target_arch = "x86_64")]
        if !is_privileged {
            measure::xen::measure();
        }
    }
    let aside = bench::run(command_line);
    #[cfg(target_arch = "x86_64")]
    if command_line.flag("xen-trace")
        && let Err(error) = xen_trace::start()
    {
        panic!("Xen traces nothing: {error}");
    }
    let mut end = command_line.value("end");
    if end == Some("toolstack")
        && let Err(error) = selftest::xen_domain::await_toolstack()
    {
        panic!("no toolstack: {error}");
    }
    let summary = selftest::run(command_line);
    if summary.is_pass() && command_line.flag("hand-over") {
        let successor = Successor::new(&machine)
            .unwrap_or_else(|error| panic!("the machine can't be handed over: {error}"));
        // SAFETY: this is the boot CPU, and the others wait for work.
        unsafe { successor.start() }
    }
    bench::boot_to_result(command_line, aside);
    summary.report();
    if end == Some("toolstack") {
        let request = selftest::xen_domain::await_shutdown()
            .unwrap_or_else(|error| panic!("the toolstack does not shut the domain down: {error}"));
        println!("the toolstack says {request}");
        end = Some(match request {
            ShutdownRequest::REBOOT => "reboot",
            _ => "poweroff",
        });
    }
    if end.is_some()
        && let Err(cpu) = cpus::stop_others()
    {
        println!("CPU {cpu} does not stop");
    }
    match end {
        Some("poweroff") => exit::off(),
        Some("reboot") => exit::reset(),
        _ => {}
    }
    if summary.is_pass() {
        exit::pass()
    } else {
        exit::fail()
    }
}

/// Installs the backend called `name`, or the one that fits best. Where a backend can't do with what the
/// host has, the kernel is as it was, and goes on natively.
fn install_backend(interfaces: &Interfaces, name: Option<&str>) -> (&'static Backend, Counts) {
    let backend = backend::select(&BACKENDS, interfaces, name)
        .unwrap_or_else(|error| panic!("no backend: {error}"));
    // SAFETY: the boot CPU is alone, interrupts are off.
    let install = |backend| unsafe { install(backend, &Platform, interfaces) };
    match install(backend) {
        Ok(sites) => (backend, sites),
        Err(InstallError::Bind(error)) if backend.name != native::BACKEND.name => {
            println!("not by the backend {}: {error}", backend.name);
            let sites = install(&native::BACKEND);
            let sites = sites.unwrap_or_else(|error| panic!("the native backend: {error}"));
            (&native::BACKEND, sites)
        }
        Err(error) => panic!("the backend {} can't be installed: {error}", backend.name),
    }
}

/// What is to be said before the Xen backend is installed.
fn prepare_for_xen(command_line: CommandLine<'_>, machine: &mut boot::Machine) {
    const EVENTS: InterruptVector = InterruptVector::new(trap::EVENT_VECTOR).unwrap();
    // SAFETY: the handler in `trap` does what it has to.
    unsafe { xen::event_channel::set_vector(EVENTS) };
    if command_line.value("xen-events") == Some("2level") {
        xen::event_channel::want_two_level();
    }
    match command_line.value("xen-callback") {
        Some("vector") => xen::hvm::set_callback(xen::hvm::Callback::Vector),
        Some("gsi") => {
            /// Nothing else is there in Xen's HVM guests.
            const INPUT: u8 = 24;
            xen::hvm::set_callback(xen::hvm::Callback::Gsi(INPUT.into()));
            // SAFETY: only HVM guests are told so, which have such an input.
            unsafe { io_apic::direct_to_boot_cpu(INPUT, trap::EVENT_VECTOR) };
        }
        _ => {}
    }
    if command_line.value("xen-start") == Some("call") {
        xen::hvm::start_cpus_by_call();
        machine.trampoline = None;
    }
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    println!("{information}");
    system::report_crash();
    exit::fail()
}
