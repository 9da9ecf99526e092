//! Page tables and the TLB.

mod entries_32;
mod entries_64;

use core::sync::atomic::{AtomicBool, Ordering};

use pvops_core::binding::Binding;
use pvops_core::cpu_set::CpuSet;
use pvops_core::{bindings, call, cpu, mmu, preserve};

use super::binder::Binder;
use super::entries::{by_jump, call_if_there};
use super::{lazy, native, start};
use crate::abi::call::Call;
use crate::abi::paging::linear_mapping;
use crate::entry_flags::{Entries, FlushFlags, PageFlags, UpdateFlags};

/// The entries are those of the mode that the kernel is in.
pub(super) fn bind(binder: &Binder<'_>, entries: Entries, native: bindings::mmu) -> bindings::mmu {
    IS_WIDE.store(entries == Entries::Bits64, Ordering::Relaxed);
    let native = match entries {
        Entries::Bits32 => entries_32::bind(binder, native),
        Entries::Bits64 => entries_64::bind(binder, native),
    };
    let native = lazy::bind(binder, native);
    // SAFETY: the operand is in eax for both, as is a result.
    let called = unsafe {
        bindings::mmu {
            read_cr2: binder.value(Call::GET_CR2, native.read_cr2),
            write_cr2: binder.action(Call::SET_CR2, native.write_cr2),
            read_cr3: binder.value(Call::GET_CR3, native.read_cr3),
            write_cr3: binder.action(Call::SET_CR3, native.write_cr3),
            flush_tlb_page: binder.action(Call::INVAL_PAGE, native.flush_tlb_page),
            ..native
        }
    };
    bindings::mmu {
        // SAFETY: the ops have no operands, and lose what the call does.
        flush_tlb: binder.wrapped(Call::FLUSH_TLB, native.flush_tlb, unsafe {
            Binding::preserve(flush_tlb)
        }),
        // SAFETY: as above.
        flush_tlb_all: binder.wrapped(Call::FLUSH_TLB, native.flush_tlb_all, unsafe {
            Binding::preserve(flush_tlb_all)
        }),
        flush_tlb_multi: call!(mmu::flush_tlb_multi, flush_tlb_multi),
        alloc_table: binder.wrapped(
            Call::ALLOCATE_PAGE,
            native.alloc_table,
            preserve!(mmu::alloc_table, alloc_table),
        ),
        release_table: binder.wrapped(
            Call::RELEASE_PAGE,
            native.release_table,
            preserve!(mmu::release_table, release_table),
        ),
        ..called
    }
}

by_jump!(flush_tlb, FLUSH_TLB, "mov eax, {flags}"; flags = FlushFlags::NOT_GLOBAL.0);
by_jump!(flush_tlb_all, FLUSH_TLB, "mov eax, {flags}"; flags = FlushFlags::ALL.0);

/// Tells the ROM where the kernel has mapped its memory, and with it all page tables. On each CPU.
pub(super) fn set_linear_mapping() {
    if let Some(memory) = start::low_memory() {
        let registers = [linear_mapping::LOW_MEMORY, memory.start, memory.pages];
        // SAFETY: the kernel has said that it is mapped so.
        unsafe { call_if_there(Call::SET_LINEAR_MAPPING, registers, [0; 2]) };
    }
}

/// What the page tables have in the mode that the CPU is in, which stays.
pub(super) fn entries_of_this_mode() -> Entries {
    const PHYSICAL_ADDRESS_EXTENSION: usize = 1 << 5;
    match cpu::read_cr4() & PHYSICAL_ADDRESS_EXTENSION {
        0 => Entries::Bits32,
        _ => Entries::Bits64,
    }
}

/// Whether they have 64 bits.
static IS_WIDE: AtomicBool = AtomicBool::new(false);

fn entries() -> Entries {
    match IS_WIDE.load(Ordering::Relaxed) {
        true => Entries::Bits64,
        false => Entries::Bits32,
    }
}

/// The flags of a change by one of the ops.
fn update_flags(level: u32) -> UpdateFlags {
    let flags = UpdateFlags(level);
    if lazy::is_lazy() {
        flags.deferred()
    } else {
        flags
    }
}

/// What this CPU has put off must be there before others look. What they have put off is made when they
/// flush their own TLB.
unsafe extern "C" fn flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize) {
    mmu::flush_lazy();
    // SAFETY: the op's caller gives a set, of CPUs that take the vector.
    unsafe { native::flush_tlb_multi_but(&*cpus, start, end, |_| false) };
}

/// Tells the ROM that the kernel has itself stored an entry of a page table, and what it knows of it: for a
/// kernel that knows more than the ops say, which is the level. Any context.
///
/// # Safety
///
/// `entry` must point into a page table, and the flags be true.
pub unsafe fn update_entry(entry: *const u64, flags: UpdateFlags) {
    let call = match entries() {
        Entries::Bits32 => Call::UPDATE_PXE,
        Entries::Bits64 => Call::UPDATE_PXE_LONG,
    };
    // SAFETY: the caller vouches for the entry.
    unsafe { call_if_there(call, [entry as u32, flags.0, 0], [0; 2]) };
}

/// Tells the ROM that a frame will be a page table some of whose entries are those of another table, as
/// the top of an address space has the kernel's: instead of
/// [`alloc_table`](fn@pvops_core::mmu::alloc_table), which does not say so. `frame` is the frame's number. Any
/// context.
///
/// # Safety
///
/// As for `alloc_table`; the flags must be true, and `copied` be a part of a table that the ROM knows.
pub unsafe fn clone_table(frame: u32, flags: PageFlags, copied: CopiedEntries) {
    let registers = [frame, flags.cloned().0, copied.from];
    // SAFETY: the caller vouches for the frames.
    unsafe { call_if_there(Call::ALLOCATE_PAGE, registers, [copied.first, copied.count]) };
}

/// Entries of a page table that are those of another.
#[derive(Clone, Copy, Debug)]
pub struct CopiedEntries {
    /// Number of the other table's frame.
    pub from: u32,
    /// Index of the first of them, in both tables.
    pub first: u32,
    /// How many.
    pub count: u32,
}

unsafe extern "C" fn alloc_table(frame: u64, level: u32) {
    if let Some(flags) = PageFlags::of_level(level, entries()) {
        // SAFETY: the op's caller says that the frame is the kernel's to make a table of.
        unsafe { call_if_there(Call::ALLOCATE_PAGE, [frame as u32, flags.0, 0], [0; 2]) };
    }
}

unsafe extern "C" fn release_table(frame: u64, level: u32) {
    if let Some(flags) = PageFlags::of_level(level, entries()) {
        // SAFETY: the op's caller says that it is a table no more.
        unsafe { call_if_there(Call::RELEASE_PAGE, [frame as u32, flags.0, 0], [0; 2]) };
    }
}
