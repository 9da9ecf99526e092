//! What only the kernel knows.

use core::ops::Range;
use core::ptr::NonNull;

/// The handful of things that a kernel does for the library.
///
/// # Safety
///
/// Every method must do what it says; the library hands what they return to CPUs and hypervisors.
pub unsafe trait Kernel: Sync {
    /// Physical address behind a virtual address of the kernel's image or of memory from
    /// [`shared_frame`](Self::shared_frame), or `None` if there is none.
    ///
    /// Called where [`shared_frame`](Self::shared_frame) is.
    fn virtual_to_physical(&self, address: usize) -> Option<u64>;

    /// A zeroed 4096-byte frame, page-aligned, mapped writable, never to be taken back, to be
    /// shared with a hypervisor; or `None` if there is none left.
    ///
    /// Called at boot, when a CPU comes up, and by functions of backends that say so; on a host that checks
    /// tables also by [`cpu::load_gdt`](fn@crate::cpu::load_gdt) and
    /// [`mmu::activate_tables`](fn@crate::mmu::activate_tables), with interrupts off.
    fn shared_frame(&self) -> Option<NonNull<u8>>;

    /// Maps `length` bytes of device registers at `physical`, uncached, for good; or `None` if that
    /// is not possible.
    ///
    /// Called at boot, and by functions of backends that say so. A kernel that maps them in the top
    /// 2 GiB gets shorter code at call sites.
    fn map_device(&self, physical: u64, length: usize) -> Option<NonNull<u8>>;

    /// Index of the CPU that asks, from 0 without gaps, below [`MAX_CPUS`](crate::cpu_set::MAX_CPUS).
    ///
    /// Called in any context.
    fn cpu_index(&self) -> usize;

    /// 64 bytes of a CPU's own block that the library may have, zeroed and left alone by the kernel, for
    /// what the CPU shares with a hypervisor: then call sites reach that by one instruction. The same
    /// segment and offset on every CPU, from [`install`](crate::install()) on or, on other CPUs, from
    /// [`bring_up_cpu`](crate::bring_up_cpu) on. `None`, also where nothing else is said, if there is no
    /// such place: it works all the same, by calls.
    ///
    /// A kernel that moves preempted threads from CPU to CPU has to give one. Some hosts keep the interrupt
    /// flag in memory. Without the place the ops of [`irq`](crate::irq) find the CPU first and then its flag: a
    /// thread that is moved in between, interrupts on, gets or sets the flag of the CPU that it came from.
    ///
    /// Called at boot and when a CPU is started.
    fn per_cpu_area(&self, _cpu: usize) -> Option<PerCpuArea> {
        None
    }

    /// Calls `write` once, while the text at `range` can be written at the distance (in bytes) that
    /// `write` is given: 0 if the kernel lifts the protection for a moment, or the distance to a
    /// writable alias, which wraps around where addresses do. When it returns, the protection is back
    /// and the CPU executes what was written. A range lies within the text of the image, or of one module.
    ///
    /// [Live patching](crate::live) calls it while other CPUs run that text: they must be able to
    /// go on. It also asks for single words of the [op table](crate::OpTable), if a kernel has
    /// mapped that read-only.
    ///
    /// # Safety
    ///
    /// Nobody else may run the text at `range` meanwhile, other than as `live` says. `write` writes
    /// nothing else.
    unsafe fn with_writable_text(&self, range: Range<usize>, write: &mut dyn FnMut(isize));
}

/// A part of a CPU's own block, for the library.
#[derive(Clone, Copy, Debug)]
pub struct PerCpuArea {
    /// Where it is: 64 bytes, aligned so, of the kernel's image or of memory from
    /// [`shared_frame`](Kernel::shared_frame).
    pub address: NonNull<u8>,
    /// The segment by which its CPU reaches it in the kernel.
    pub segment: PerCpuSegment,
    /// Its distance from that segment's base, in bytes; below 2^31, since instructions extend it by its
    /// sign.
    pub offset: u32,
}

/// The segment of per-CPU data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PerCpuSegment {
    /// FS.
    Fs,
    /// GS.
    Gs,
}
