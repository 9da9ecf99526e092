//! What the boot loader told us, and memory as it says.

use core::cell::UnsafeCell;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;

use pvops_backend_xen::vcpu::VcpuId;
use pvops_core::backend::Backend;
use pvops_core::boot_info::{BootInfo, CommandLine, MemoryMap, PhysicalMemory, Protocol, rsdp};
use pvops_core::patch::Counts;
use pvops_core::probe::Interfaces;
use pvops_core::{cpu, tsc};
use spin::Once;

use crate::console::{Json, println, report};
use crate::layout::{self, EARLY_MAP, KERNEL_OFFSET, MAPPED};
use crate::per_cpu::MAX_CPUS;
#[cfg(target_arch = "x86")]
use crate::vmi;
use crate::{acpi, frames, kvm, native, paging, xen};

/// What is to be remembered of the boot information.
pub(crate) struct Machine {
    pub(crate) command_line: CommandLine<'static>,
    /// A frame below 1 MiB, where other CPUs can start.
    pub(crate) trampoline: Option<u64>,
    /// What the loader told, for a kernel that comes after this one.
    pub(crate) memory_map: MemoryMap,
    pub(crate) rsdp: Option<u64>,
    /// The first module, if it lies in memory.
    pub(crate) module: Option<Range<u64>>,
    /// The ROM that is to serve the kernel, if there is one.
    #[cfg(target_arch = "x86")]
    pub(crate) rom: Option<pvops_backend_vmi::rom::Rom>,
    other_cpus: [u32; MAX_CPUS],
    other_cpu_count: usize,
}

impl Machine {
    /// The local APIC ids of the CPUs but this one.
    pub(crate) fn other_cpus(&self) -> &[u32] {
        &self.other_cpus[..self.other_cpu_count]
    }
}

/// Reads the boot information at a physical address: PVH's if there is no magic number.
pub(crate) fn read(address: u64, magic: u32) -> BootInfo<'static> {
    const MULTIBOOT: u32 = 0x2bad_b002;
    let info = match magic {
        0 => BootInfo::from_pvh(&EarlyMemory, address),
        MULTIBOOT => BootInfo::from_multiboot(&EarlyMemory, magic, address),
        magic => BootInfo::from_multiboot2(&EarlyMemory, magic, address),
    };
    info.unwrap_or_else(|error| panic!("boot information: {error}"))
}

/// Reads the boot information and takes the memory into use.
///
/// # Safety
///
/// Once, on the boot CPU, while the tables of [the entry](crate::arch) are in use.
pub(crate) unsafe fn start(mut info: BootInfo<'_>) -> Machine {
    PROTOCOL.call_once(|| info.protocol());
    let modules = info.modules().iter().map(|module| module.range());
    let mut reserved = [const { 0..0 }; 16];
    reserved
        .iter_mut()
        .zip(modules)
        .for_each(|(reserved, module)| *reserved = module);
    // SAFETY: the caller calls once.
    let command_line = unsafe { keep(info.command_line()) };
    let rsdp = match info.protocol() {
        // There it is a copy, in memory that will be used for other things.
        Protocol::Multiboot2 => rsdp::find(&EarlyMemory).or(info.rsdp()),
        _ => info.rsdp().or_else(|| rsdp::find(&EarlyMemory)),
    };
    let (mut other_cpus, mut other_cpu_count) = ([0; MAX_CPUS], 0);
    if let Some(rsdp) = rsdp {
        tell_native(rsdp);
        let this = apic_id();
        acpi::cpus(&EarlyMemory, rsdp, |id| {
            if id != this && other_cpu_count < MAX_CPUS {
                other_cpus[other_cpu_count] = id;
                other_cpu_count += 1;
            }
        });
    }
    if other_cpu_count == 0 {
        // No ACPI tables say it, but Xen may.
        for number in 1..xen::vcpu::count().min(MAX_CPUS as u32) {
            other_cpus[other_cpu_count] = xen::vcpu::local_apic_id(VcpuId(number));
            other_cpu_count += 1;
        }
    }
    if let Some((port, value)) = rsdp.and_then(|rsdp| acpi::reset_control(&EarlyMemory, rsdp)) {
        // SAFETY: the firmware's tables say so of this machine.
        unsafe { native::set_reset_control(port, value) };
    }

    if info.memory_map_missing()
        && let Err(error) = xen::add_memory_map(info.memory_map_mut())
    {
        println!("there is no memory map, and Xen gives none: {error}");
    }
    add_conventional_memory(info.memory_map_mut());
    #[cfg(target_arch = "x86")]
    let rom = vmi::find(&EarlyMemory);
    let memory_map = info.memory_map().clone();
    let module = info.modules().first().map(|module| module.range());
    let module = module.filter(|module| module.end <= MAPPED && memory_map.is_usable(module));
    let map = info.memory_map_mut();
    reserved.into_iter().for_each(|module| map.reserve(module));
    let trampoline = low_frame(map);
    // Real-mode data, firmware and whatever else a PC keeps there.
    map.reserve(0..1 << 20);
    let image = layout::image();
    map.reserve((image.start - KERNEL_OFFSET) as u64..(image.end - KERNEL_OFFSET) as u64);
    let memory = map
        .usable()
        .map(|region| region.start.min(MAPPED)..region.end.min(MAPPED));
    // SAFETY: the caller calls once, on the tables of `entry`, which have memory up to that end.
    let started = unsafe {
        frames::start(memory);
        paging::start(map, module.clone())
    };
    if started.is_err() {
        panic!(
            "not enough memory for page tables; the map is {:?}",
            map.regions()
        );
    }
    Machine {
        command_line,
        trampoline,
        memory_map,
        rsdp,
        module,
        #[cfg(target_arch = "x86")]
        rom,
        other_cpus,
        other_cpu_count,
    }
}

/// Xen's toolstack leaves it to the firmware of an HVM guest to say what memory begins with, and there we
/// are the firmware.
fn add_conventional_memory(map: &mut MemoryMap) {
    use pvops_core::boot_info::RegionKind;

    const END: u64 = 0xa_0000;
    let is_told = map.regions().iter().any(|region| region.start < END);
    if !is_told && xen::vcpu::count() > 0 {
        map.insert(0, END, RegionKind::USABLE);
    }
}

/// Tells the native backend what only ACPI knows of.
fn tell_native(rsdp: u64) {
    if let Some(off) = acpi::soft_off(&EarlyMemory, rsdp) {
        // SAFETY: the firmware's tables say so of this machine, here and below.
        unsafe { native::set_sleep_control(off.port, off.sleep_type) };
    }
    if let Some(port) = acpi::pm_timer(&EarlyMemory, rsdp) {
        // SAFETY: as above.
        unsafe { native::set_pm_timer(port) };
        PM_TIMER.call_once(|| port);
    }
    if let Some(physical) = acpi::hpet(&EarlyMemory, rsdp) {
        // SAFETY: as above; nothing here uses the HPET.
        unsafe { native::set_hpet(physical) };
        HPET.call_once(|| physical);
    }
}

/// Usable memory where a CPU can start: not the first page, which holds what real mode needs.
fn low_frame(map: &MemoryMap) -> Option<u64> {
    const LOW: Range<u64> = 0x8000..0x9_0000;
    let frame = |region: Range<u64>| region.start.max(LOW.start)..region.end.min(LOW.end);
    map.usable()
        .map(frame)
        .find(|range| range.start + 4096 <= range.end)
        .map(|range| range.start)
}

/// This CPU's local APIC id: CPUID leaf 0xb where there is one, which has all its bits.
pub(crate) fn apic_id() -> u32 {
    const TOPOLOGY: u32 = 0xb;
    if cpu::cpuid(0, 0).eax >= TOPOLOGY && cpu::cpuid(TOPOLOGY, 0).ebx != 0 {
        return cpu::cpuid(TOPOLOGY, 0).edx;
    }
    cpu::cpuid(1, 0).ebx >> 24
}

/// Port of the power-management timer.
pub(crate) fn pm_timer() -> Option<u16> {
    PM_TIMER.get().copied()
}

/// Physical address of the high-precision event timer's registers.
pub(crate) fn hpet() -> Option<u64> {
    HPET.get().copied()
}

/// Says what was found, for people and for machines.
pub(crate) fn report(backend: &Backend, interfaces: &Interfaces, sites: Counts) {
    let Some(protocol) = PROTOCOL.get() else {
        return;
    };
    let tsc = tsc::frequency();
    let (khz, source) = tsc.map_or((0, "none"), |tsc| (tsc.khz(), tsc.source()));
    for interface in interfaces.iter() {
        let (base, max_leaf) = (interface.base(), interface.max_leaf());
        println!(
            "interface {} at {base:#x}, leaves to {max_leaf:#x}",
            interface.signature()
        );
    }
    if let Some(interface) = kvm::BACKEND.signature.and_then(|kvm| interfaces.find(&kvm)) {
        println!(
            "{:?}, {:?}",
            kvm::Features::of(interface),
            kvm::Hints::of(interface)
        );
    }
    println!("backend {}, tsc {khz} kHz by {source}", backend.name);
    println!(
        "{} call sites: {} inline, {} direct calls, {} jumps, {} nothing, {} traps",
        sites.total(),
        sites.inline,
        sites.call,
        sites.jump,
        sites.nop,
        sites.trap,
    );
    report!(
        "\"event\":\"boot\",\"protocol\":\"{protocol}\",\"backend\":\"{}\",\"interfaces\":[{}],\
         \"sites\":{{\"total\":{},\"inline\":{},\"call\":{},\"jump\":{},\"nop\":{},\"trap\":{}}},\
         \"tsc_khz\":{khz},\"tsc_source\":\"{source}\"",
        backend.name,
        InterfaceList(interfaces),
        sites.total(),
        sites.inline,
        sites.call,
        sites.jump,
        sites.nop,
        sites.trap,
    );
}

struct InterfaceList<'a>(&'a Interfaces);

impl core::fmt::Display for InterfaceList<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, interface) in self.0.iter().enumerate() {
            write!(
                formatter,
                "{}{{\"signature\":\"{}\",\"base\":{},\"max_leaf\":{}}}",
                if index == 0 { "" } else { "," },
                Json(
                    interface
                        .signature()
                        .as_bytes()
                        .split(|&byte| byte == 0)
                        .next()
                        .unwrap_or(b"")
                ),
                interface.base(),
                interface.max_leaf(),
            )?;
        }
        Ok(())
    }
}

static PROTOCOL: Once<Protocol> = Once::new();
static PM_TIMER: Once<u16> = Once::new();
static HPET: Once<u64> = Once::new();

/// Memory as the tables of [the entry](crate::arch) have it, where a PC has no device registers.
struct EarlyMemory;

/// Devices of PCs have their registers from 3 GiB on, and in the window of the VGA.
const DEVICES: u64 = 3 << 30;
const VGA: Range<u64> = 0xa_0000..0xc_0000;

impl PhysicalMemory for EarlyMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        if end > DEVICES || (address < VGA.end && end > VGA.start) {
            return None;
        }
        let start = NonNull::new((EARLY_MAP + address as usize) as *mut u8)?;
        // SAFETY: the tables have these addresses, and nobody writes there while the boot
        // information is read. Where there is no memory, ones are read.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
    }
}

/// Copies the command line to where nobody else's memory is.
///
/// # Safety
///
/// Once.
unsafe fn keep(command_line: CommandLine<'_>) -> CommandLine<'static> {
    struct Copy(UnsafeCell<[u8; 4096]>);
    // SAFETY: written once, before anybody has a reference.
    unsafe impl Sync for Copy {}
    static COPY: Copy = Copy(UnsafeCell::new([0; 4096]));

    if command_line.is_truncated() {
        println!(
            "the command line is cut after {} bytes",
            command_line.as_bytes().len()
        );
    }
    // SAFETY: the caller calls once, so nobody else has a reference.
    let copy = unsafe { &mut *COPY.0.get() };
    let bytes = command_line.as_bytes();
    let length = bytes.len().min(copy.len());
    copy[..length].copy_from_slice(&bytes[..length]);
    CommandLine::new(&copy[..length])
}
