//! The page that a domain shares with Xen, and each virtual CPU's part of it.
//!
//! `struct shared_info`, `struct vcpu_info` and `struct arch_shared_info` of Xen's public/xen.h and
//! public/arch-x86/xen.h, for 64-bit guests. Every field is an atomic, so a reference to one of these
//! says nothing of what is in it, which Xen may change at any time.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use pvops_core::Kernel;
use pvops_core::cpu_set::MAX_CPUS;
use pvops_core::pvclock::{TimeInfo, WallClock};
use spin::Once;

/// The page, as far as Xen uses it.
#[repr(C)]
pub(crate) struct SharedInfo {
    /// Of the virtual CPUs that have registered no record elsewhere.
    pub(crate) vcpu_info: [VcpuInfo; LEGACY_VCPUS],
    /// A bit for each port: an event has come. Of the two-level ABI.
    pub(crate) pending: [AtomicU64; WORDS],
    /// A bit for each port: its events wait. Of the two-level ABI.
    pub(crate) mask: [AtomicU64; WORDS],
    /// The time of day when the system time was zero.
    pub(crate) wall_clock: WallClock,
    /// The upper half of the seconds in `wall_clock`.
    pub(crate) wall_clock_seconds_high: AtomicU32,
    pub(crate) arch: ArchSharedInfo,
}

/// XEN_LEGACY_MAX_VCPUS: how many virtual CPUs have their record in the page.
pub(crate) const LEGACY_VCPUS: usize = 32;
/// Words of bits for ports, one bit of a selector for each.
pub(crate) const WORDS: usize = 64;

/// What Xen and one virtual CPU share.
#[repr(C, align(64))]
pub(crate) struct VcpuInfo {
    /// Not 0 when an event is to be looked for. The guest clears it first.
    pub(crate) upcall_pending: AtomicU8,
    /// Not 0 while this CPU takes no upcall. PV only: others have the interrupt flag.
    pub(crate) upcall_mask: AtomicU8,
    pub(crate) reserved_2: [AtomicU8; 6],
    /// A bit for each word of [`SharedInfo::pending`] to look at. Of the two-level ABI.
    pub(crate) pending_selector: AtomicU64,
    /// The address of the last page fault. PV only: others have CR2.
    pub(crate) fault_address: AtomicU64,
    pub(crate) reserved_24: AtomicU64,
    /// The clock.
    pub(crate) time: TimeInfo,
}

/// What the toolstack wants to know of a PV guest.
#[repr(C)]
pub(crate) struct ArchSharedInfo {
    /// How many entries the P2M has.
    pub(crate) p2m_entries: AtomicU64,
    pub(crate) p2m_frame_list_list: AtomicU64,
    /// Why a non-maskable interrupt came.
    pub(crate) nmi_reason: AtomicU64,
    pub(crate) p2m_cr3: AtomicU64,
    /// The address of the linear P2M, in the tables of `p2m_cr3`.
    pub(crate) p2m_address: AtomicU64,
    /// Odd while the guest changes the linear P2M.
    pub(crate) p2m_generation: AtomicU64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VcpuInfo>() == 64);
    assert!(offset_of!(VcpuInfo, upcall_pending) == 0);
    assert!(offset_of!(VcpuInfo, upcall_mask) == 1);
    assert!(offset_of!(VcpuInfo, pending_selector) == 8);
    assert!(offset_of!(VcpuInfo, fault_address) == 16);
    assert!(offset_of!(VcpuInfo, time) == 32);
    assert!(size_of::<SharedInfo>() == 3136);
    assert!(offset_of!(SharedInfo, vcpu_info) == 0);
    assert!(offset_of!(SharedInfo, pending) == 0x800);
    assert!(offset_of!(SharedInfo, mask) == 0xa00);
    assert!(offset_of!(SharedInfo, wall_clock) == 0xc00);
    assert!(offset_of!(SharedInfo, wall_clock_seconds_high) == 0xc0c);
    assert!(offset_of!(SharedInfo, arch) == 0xc10);
    assert!(size_of::<ArchSharedInfo>() == 48);
    assert!(offset_of!(ArchSharedInfo, nmi_reason) == 16);
    assert!(offset_of!(ArchSharedInfo, p2m_address) == 32);
    assert!(offset_of!(ArchSharedInfo, p2m_generation) == 40);
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

/// The record of this CPU. Any context in which the CPU does not change; `None` until the backend is
/// installed.
pub(crate) fn of_this_cpu() -> Option<&'static VcpuInfo> {
    of(pvops_core::kernel().map(Kernel::cpu_index)?)
}
