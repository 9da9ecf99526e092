//! Page tables, the TLB, and what of memory the guest maps linearly.

use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use super::deferred::{self, Update, apply_or_defer};
use super::entries::Arguments;
use super::state::State;
use super::window;
use crate::abi::LazyMode;
use crate::abi::paging::{flush, linear_mapping, update};

const PAGE_BITS: u32 = 12;
const CR4_PGE: u32 = 1 << 7;

/// SetPxE.
pub(super) extern "C" fn set_pxe(arguments: &Arguments) -> u64 {
    let (value, address) = (arguments.eax, arguments.edx);
    let update = Update::Entry { address, value };
    apply_or_defer(update, mode_for(arguments.ecx));
    0
}

/// SetPxELong.
pub(super) extern "C" fn set_pxe_long(arguments: &Arguments) -> u64 {
    let value = u64::from(arguments.edx) << 32 | u64::from(arguments.eax);
    let address = arguments.ecx;
    let update = Update::LongEntry { address, value };
    apply_or_defer(update, mode_for(arguments.stack[0]));
    0
}

/// Only an entry that the guest marks may wait: others, such as those of an interrupt handler that has
/// come in between, are used at once.
fn mode_for(flags: u32) -> Option<LazyMode> {
    (flags & update::DEFER != 0).then_some(LazyMode::MMU)
}

pub(super) fn write_entry(address: u32, value: u32) {
    // SAFETY: the guest says that its page table is there.
    unsafe { (address as *mut u32).write_volatile(value) };
}

/// In one piece, since other CPUs walk the table meanwhile.
pub(super) fn write_long_entry(address: u32, value: u64) {
    // SAFETY: as above; guests' entries are aligned.
    let entry = unsafe { AtomicU64::from_ptr(address as *mut u64) };
    // Compare and exchange, as a plain store of 64 bits would take the guest's floating-point registers.
    let _ = entry.swap(value, Ordering::SeqCst);
}

/// SetCR3.
pub(super) extern "C" fn set_cr3(arguments: &Arguments) -> u64 {
    deferred::flush();
    let state = State::get();
    window::keep(state, arguments.eax);
    // SAFETY: the guest asks for it, and has the ROM mapped there.
    unsafe { asm!("mov cr3, {}", in(reg) arguments.eax, options(nostack, preserves_flags)) };
    0
}

/// GetCR2: a page fault's handler begins with it, and what waits may be what the fault is about.
pub(super) extern "C" fn get_cr2(_: &Arguments) -> u64 {
    deferred::flush();
    let value: u32;
    // SAFETY: it only tells.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    u64::from(value)
}

/// InvalPage.
pub(super) extern "C" fn inval_page(arguments: &Arguments) -> u64 {
    deferred::flush();
    // SAFETY: it costs time at most.
    unsafe { asm!("invlpg [{}]", in(reg) arguments.eax, options(nostack, preserves_flags)) };
    0
}

/// FlushTLB.
pub(super) extern "C" fn flush_tlb(arguments: &Arguments) -> u64 {
    deferred::flush();
    let cr4: u32;
    // SAFETY: the control registers are as before in the end; the CPU forgets translations only.
    unsafe {
        asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
        if arguments.eax & flush::GLOBAL != 0 && cr4 & CR4_PGE != 0 {
            asm!("mov cr4, {}", "mov cr4, {}", in(reg) cr4 & !CR4_PGE, in(reg) cr4,
                 options(nostack, preserves_flags));
        } else {
            asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
        }
    }
    0
}

/// Physical memory that the guest maps with one distance.
pub(super) struct LinearMapping {
    virtual_start: Cell<u32>,
    physical_start: Cell<u32>,
    bytes: Cell<u64>,
}

impl LinearMapping {
    /// Where 8 bytes of physical memory are mapped, if the guest has told.
    pub(super) fn find(&self, physical: u32) -> Option<u32> {
        let offset = physical.checked_sub(self.physical_start.get())?;
        let fits = u64::from(offset) + 8 <= self.bytes.get();
        fits.then(|| self.virtual_start.get().wrapping_add(offset))
    }

    pub(super) fn set(&self, virtual_start: u32, physical_start: u32, bytes: u64) {
        self.virtual_start.set(virtual_start);
        self.physical_start.set(physical_start);
        self.bytes.set(bytes);
    }
}

/// SetLinearMapping. Frames above 4 GiB are of no use here.
pub(super) extern "C" fn set_linear_mapping(arguments: &Arguments) -> u64 {
    let first_frame = arguments.stack[0];
    if arguments.eax == linear_mapping::LOW_MEMORY && first_frame < 1 << (32 - PAGE_BITS) {
        let bytes = u64::from(arguments.ecx) << PAGE_BITS;
        let physical = first_frame << PAGE_BITS;
        State::get().linear.set(arguments.edx, physical, bytes);
    }
    0
}
