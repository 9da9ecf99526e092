//! The ROM's memory, which POST has taken below 640 KiB.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::clock::Clock;
use super::count::COUNTERS;
use super::cpu::Cpu;
use super::kvm::Kvm;
use super::rtc::Wallclock;
use super::start::{Start, Told};
use super::{head, paging};

/// How much POST takes, a multiple of 4.
pub(super) const SIZE_KIB: u32 = 32;
/// What POST writes in front of it: "pvom".
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"pvom");
/// CPUs with a local APIC identifier below this can defer updates, set alarms and use KVM's records.
pub(super) const CPUS: usize = 16;

/// The whole. What is not per CPU and no atomic is written by `VMI_Init` only, or with the time calls,
/// which guests make one at a time.
#[repr(C)]
pub(super) struct State {
    pub(super) magic: AtomicU32,
    /// Where this is.
    pub(super) physical: AtomicU32,
    /// Whether calls are counted: 0 or 1.
    pub(super) counting: AtomicU32,
    /// How often each call was made, and the statistics.
    pub(super) counts: [AtomicU32; COUNTERS],
    /// Whether there is no lazy mode: 0 or 1.
    pub(super) no_lazy: AtomicU32,
    /// How many CPUs are in a lazy mode.
    pub(super) lazy_cpus: AtomicU32,
    /// A descriptor table that more than one CPU has loaded, or 0.
    pub(super) shared_gdt: AtomicU32,
    /// Which CPUs have begun with another CPU's descriptor table, and not loaded one yet, by bits.
    pub(super) borrowers: AtomicU32,
    pub(super) linear: paging::LinearMapping,
    /// Whether the local APIC is mapped.
    pub(super) has_window: AtomicU32,
    pub(super) clock: Clock,
    pub(super) wallclock: Wallclock,
    /// KVM, if it is there and is to be used.
    pub(super) kvm: Cell<Option<Kvm>>,
    pub(super) cpus: [Cpu; CPUS],
    /// Whether CPUs can be started.
    pub(super) can_start: AtomicU32,
    pub(super) told: Told,
    pub(super) start: Start,
}

const _: () = assert!(size_of::<State>() <= SIZE_KIB as usize * 1024);

impl State {
    /// The ROM's memory.
    pub(super) fn get() -> &'static Self {
        // SAFETY: POST has set the distance to memory that nobody else uses, that was zeroed, which is a
        // value of every field, and that is aligned to a page. Guests map it with the ROM. Nothing in it
        // is changed but through cells.
        unsafe { &*(head::state_address() as *const Self) }
    }

    /// Whether POST was there, and the guest has mapped the memory as the ROM.
    pub(super) fn is_there() -> bool {
        head::state_distance() != 0 && Self::get().magic.load(Ordering::Relaxed) == MAGIC
    }

    /// The physical address of something in here.
    pub(super) fn physical_address<T>(&self, part: *const T) -> u32 {
        part as u32 - (self as *const Self as u32) + self.physical.load(Ordering::Relaxed)
    }
}
