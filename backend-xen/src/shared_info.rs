//! The page that a domain shares with Xen, and each virtual CPU's part of it.
//!
//! `struct shared_info`, `struct vcpu_info` and `struct arch_shared_info` of Xen's public/xen.h and
//! public/arch-x86/xen.h, in the word size of
//! this code. Every field is an atomic, so a reference to one of these
//! says nothing of what is in it, which Xen may change at any time.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{TimeInfo, WallClock};
use spin::Once;

use crate::word::{AtomicWord, Word, by_word_size};

/// The page, as far as Xen uses it.
#[repr(C)]
pub(crate) struct SharedInfo {
    /// Of the virtual CPUs that have registered no record elsewhere.
    pub(crate) vcpu_info: [VcpuInfo; LEGACY_VCPUS],
    /// A bit for each port: an event has come. Of the two-level ABI.
    pub(crate) pending: [AtomicWord; WORDS],
    /// A bit for each port: its events wait. Of the two-level ABI.
    pub(crate) mask: [AtomicWord; WORDS],
    /// The time of day when the system time was zero.
    pub(crate) wall_clock: WallClock,
    /// The upper half of the seconds in `wall_clock`; of 32-bit guests it is behind all else.
    #[cfg(target_pointer_width = "64")]
    pub(crate) wall_clock_seconds_high: AtomicU32,
    pub(crate) arch: ArchSharedInfo,
}

/// XEN_LEGACY_MAX_VCPUS: how many virtual CPUs have their record in the page.
pub(crate) const LEGACY_VCPUS: usize = 32;
/// Words of bits for ports, one bit of a selector for each.
pub(crate) const WORDS: usize = Word::BITS as usize;

/// What Xen and one virtual CPU share.
#[repr(C, align(64))]
pub(crate) struct VcpuInfo {
    /// Not 0 when an event is to be looked for. The guest clears it first.
    pub(crate) upcall_pending: AtomicU8,
    /// Not 0 while this CPU takes no upcall. PV only: others have the interrupt flag.
    pub(crate) upcall_mask: AtomicU8,
    pub(crate) reserved_2: [AtomicU8; size_of::<Word>() - 2],
    /// A bit for each word of [`SharedInfo::pending`] to look at. Of the two-level ABI.
    pub(crate) pending_selector: AtomicWord,
    /// The address of the last page fault. PV only: others have CR2.
    pub(crate) fault_address: AtomicWord,
    pub(crate) reserved: [AtomicWord; by_word_size(1, 5)],
    /// The clock.
    pub(crate) time: TimeInfo,
}

/// What the toolstack wants to know of a PV guest.
#[repr(C)]
pub(crate) struct ArchSharedInfo {
    /// How many entries the P2M has.
    pub(crate) p2m_entries: AtomicWord,
    pub(crate) p2m_frame_list_list: AtomicWord,
    /// Why a non-maskable interrupt came.
    pub(crate) nmi_reason: AtomicWord,
    pub(crate) p2m_cr3: AtomicWord,
    /// The address of the linear P2M, in the tables of `p2m_cr3`.
    pub(crate) p2m_address: AtomicWord,
    /// Odd while the guest changes the linear P2M.
    pub(crate) p2m_generation: AtomicWord,
    /// The upper half of the seconds in [`SharedInfo::wall_clock`].
    #[cfg(target_pointer_width = "32")]
    pub(crate) wall_clock_seconds_high: AtomicU32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VcpuInfo>() == 64);
    assert!(offset_of!(VcpuInfo, upcall_pending) == 0);
    assert!(offset_of!(VcpuInfo, upcall_mask) == 1);
    assert!(offset_of!(VcpuInfo, pending_selector) == by_word_size(8, 4));
    assert!(offset_of!(VcpuInfo, fault_address) == by_word_size(16, 8));
    assert!(offset_of!(VcpuInfo, time) == 32);
    assert!(size_of::<SharedInfo>() == by_word_size(3136, 2368));
    assert!(offset_of!(SharedInfo, vcpu_info) == 0);
    assert!(offset_of!(SharedInfo, pending) == 0x800);
    assert!(offset_of!(SharedInfo, mask) == by_word_size(0xa00, 0x880));
    assert!(offset_of!(SharedInfo, wall_clock) == by_word_size(0xc00, 0x900));
    #[cfg(target_pointer_width = "64")]
    assert!(offset_of!(SharedInfo, wall_clock_seconds_high) == 0xc0c);
    #[cfg(target_pointer_width = "32")]
    assert!(offset_of!(SharedInfo, arch.wall_clock_seconds_high) == 0x924);
    assert!(offset_of!(SharedInfo, arch) == by_word_size(0xc10, 0x90c));
    assert!(size_of::<ArchSharedInfo>() == by_word_size(48, 28));
    assert!(offset_of!(ArchSharedInfo, nmi_reason) == by_word_size(16, 8));
    assert!(offset_of!(ArchSharedInfo, p2m_address) == by_word_size(32, 16));
    assert!(offset_of!(ArchSharedInfo, p2m_generation) == by_word_size(40, 20));
};

static PAGE: Once<&'static SharedInfo> = Once::new();
static VCPU_INFOS: [AtomicPtr<VcpuInfo>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
/// Whether Xen knows of the record.
static KNOWN: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

/// Says where the page is mapped, for good. The first call counts.
pub(crate) fn adopt(page: &'static SharedInfo) {
    PAGE.call_once(|| page);
}

/// The page, once it is mapped.
pub(crate) fn get() -> Option<&'static SharedInfo> {
    PAGE.get().copied()
}

/// Says where the record of a CPU is, by the number that the kernel gives the CPU. Xen knows it.
pub(crate) fn set_vcpu_info(cpu: usize, record: &'static VcpuInfo) {
    if let (Some(slot), Some(known)) = (VCPU_INFOS.get(cpu), KNOWN.get(cpu)) {
        slot.store(ptr::from_ref(record).cast_mut(), Ordering::Release);
        known.store(true, Ordering::Relaxed);
    }
}

/// Whether Xen knows of this record of a CPU.
pub(crate) fn is_known(cpu: usize, record: &VcpuInfo) -> bool {
    let is_known = |known: &AtomicBool| known.load(Ordering::Relaxed);
    KNOWN.get(cpu).is_some_and(is_known) && of(cpu).is_some_and(|found| ptr::eq(found, record))
}

/// Xen does not know of the records any more. They stay where they are.
pub(crate) fn forget_vcpu_infos() {
    KNOWN
        .iter()
        .for_each(|known| known.store(false, Ordering::Relaxed));
}

/// The record of a CPU, if it has one. Any context.
pub(crate) fn of(cpu: usize) -> Option<&'static VcpuInfo> {
    let record = VCPU_INFOS.get(cpu)?.load(Ordering::Acquire);
    // SAFETY: a pointer that is not null comes from a `&'static VcpuInfo`.
    unsafe { record.as_ref() }
}

/// The record of this CPU, which before the backend is installed is the boot CPU, number 0. Any context in
/// which the CPU does not change; `None` if Xen keeps none yet.
pub(crate) fn of_this_cpu() -> Option<&'static VcpuInfo> {
    of(pvops_core::kernel().map_or(0, Kernel::cpu_index))
}
