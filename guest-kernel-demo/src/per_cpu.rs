//! What each CPU has for itself, found through a segment.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pvops_core::PerCpuArea;

use crate::arch::segment;

/// CPUs that this kernel takes.
pub(crate) const MAX_CPUS: usize = 64;

/// One CPU's own.
#[repr(C)]
pub(crate) struct PerCpu {
    index: usize,
    /// The library's.
    area: Area,
    /// Where a system call finds its stack, and keeps the program's meanwhile.
    pub(crate) kernel_stack: AtomicUsize,
    pub(crate) user_stack: AtomicUsize,
    /// The scheduler's.
    pub(crate) schedule: Schedule,
    /// How it is started.
    pub(crate) apic_id: AtomicU32,
    pub(crate) stack_top: AtomicUsize,
    /// Whether it runs and takes work.
    pub(crate) online: AtomicBool,
    /// Whether it waits for an interrupt where one can be missed.
    pub(crate) waits: AtomicBool,
    /// A function that it is to call, as `work` says.
    pub(crate) function: AtomicUsize,
    pub(crate) argument: AtomicUsize,
    pub(crate) result: AtomicU64,
    pub(crate) state: AtomicU32,
}

/// 64 bytes that only the library looks at.
#[repr(C, align(64))]
struct Area(UnsafeCell<[u8; 64]>);

// SAFETY: the kernel never looks at it.
unsafe impl Sync for Area {}

/// What the scheduler keeps of a CPU. Only the CPU itself uses it.
pub(crate) struct Schedule {
    /// The task that runs, or [`NO_TASK`](Schedule::NO_TASK).
    pub(crate) task: AtomicUsize,
    /// Saved stack pointer of whoever runs when no task does.
    pub(crate) base_stack: AtomicUsize,
    /// The root of the page tables in use.
    pub(crate) root: AtomicU64,
    /// Whether the running program has had its time.
    pub(crate) is_over: AtomicBool,
}

impl Schedule {
    pub(crate) const NO_TASK: usize = usize::MAX;
}

/// The number of this CPU, from 0. Any context after [`load`].
pub(crate) fn index() -> usize {
    // SAFETY: `load` has given this CPU its block, and nobody writes the index.
    unsafe { segment::word::<{ offset_of!(PerCpu, index) }>() }
}

/// What this CPU has.
pub(crate) fn this() -> &'static PerCpu {
    of(index())
}

/// What a CPU has.
pub(crate) fn of(cpu: usize) -> &'static PerCpu {
    &ALL[cpu]
}

/// Distance of the library's part from the segment's base.
pub(crate) const AREA_OFFSET: usize = offset_of!(PerCpu, area);

/// The part of a CPU's own that the library has.
pub(crate) fn area(cpu: usize) -> Option<PerCpuArea> {
    Some(PerCpuArea {
        address: NonNull::new(ALL.get(cpu)?.area.0.get().cast())?,
        segment: segment::SEGMENT,
        offset: AREA_OFFSET as u32,
    })
}

/// Gives this CPU its own.
///
/// # Safety
///
/// Once on each CPU, with its number, after [`gdt::load`](crate::gdt::load).
pub(crate) unsafe fn load(cpu: usize) {
    // SAFETY: nobody else uses the segment, and the block stays for good.
    unsafe { segment::load(cpu, (&raw const ALL[cpu]).addr()) };
}

static ALL: [PerCpu; MAX_CPUS] = {
    let mut all = [const { PerCpu::new() }; MAX_CPUS];
    let mut index = 0;
    while index < MAX_CPUS {
        all[index].index = index;
        index += 1;
    }
    all
};

impl PerCpu {
    /// Whatever the CPU was asked to do, it is not to be done any more.
    pub(crate) fn forget_work(&self) {
        self.state.store(0, Ordering::Relaxed);
    }

    const fn new() -> Self {
        PerCpu {
            index: 0,
            area: Area(UnsafeCell::new([0; 64])),
            kernel_stack: AtomicUsize::new(0),
            user_stack: AtomicUsize::new(0),
            schedule: Schedule {
                task: AtomicUsize::new(Schedule::NO_TASK),
                base_stack: AtomicUsize::new(0),
                root: AtomicU64::new(0),
                is_over: AtomicBool::new(false),
            },
            apic_id: AtomicU32::new(0),
            stack_top: AtomicUsize::new(0),
            online: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            function: AtomicUsize::new(0),
            argument: AtomicUsize::new(0),
            result: AtomicU64::new(0),
            state: AtomicU32::new(0),
        }
    }
}
