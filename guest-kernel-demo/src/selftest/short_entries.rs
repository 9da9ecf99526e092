//! Page tables of two levels with entries of 4 bytes: PAE is turned off for a moment.
//!
//! Both modes can do with one first table. PAE has its first 32 bytes for four entries; without PAE these
//! are the entries of the lowest 32 MiB, where the kernel is not. Intel SDM volume 3, section 5.1.2.

use core::arch::asm;

use pvops_backend_native::BEFORE_INSTALL;
use pvops_core::binding::Binding;
use pvops_core::live::Change;
use pvops_core::{Op, cpu, irq, mmu};

use super::Outcome;
use crate::arch::layout::WINDOWS;
use crate::frames;
use crate::layout::{DIRECT_MAP, PAGE};
use crate::tables::Flags;
use crate::text::{Text, ensure, text};

const PAGE_SIZE_EXTENSION: usize = 1 << 4;
const PHYSICAL_ADDRESS_EXTENSION: usize = 1 << 5;
/// What an entry of the first table maps.
const LARGE: usize = 4 << 20;

/// Why the mode must stay as it is.
pub(super) fn no_choice() -> Option<Text> {
    pvops_backend_vmi::routes().map(|_| text!("a VMI ROM counts on PAE"))
}

/// What the ops do before a backend is installed is right without PAE, too: the CPU goes by the entries
/// they store, and they give back what it has set in them.
pub(super) fn short_entries() -> Outcome {
    const VALUE: u32 = 0x1234_5678;
    const NOT_PRESENT: u32 = 0xffff_fffe;
    let frame = || frames::allocate().ok_or_else(|| text!("no memory"));
    let ((root, first), (table, second), (data, seen)) = (frame()?, frame()?, frame()?);
    let (first, second) = (first.cast::<u32>(), second.cast::<u32>());
    let before = mmu::read_cr3();
    let page = Flags::PRESENT | Flags::WRITABLE;
    // SAFETY: the frames are ours. The other tables are in the direct map, with four entries of 8 bytes.
    unsafe {
        let entries = (DIRECT_MAP + before) as *const u32;
        entries.copy_to_nonoverlapping(first.as_ptr(), 8);
        for address in (DIRECT_MAP..WINDOWS).step_by(LARGE) {
            let entry = (address - DIRECT_MAP) as u32 | (page | Flags::LARGE).bits() as u32;
            first.add(address / LARGE).write(entry);
        }
    }
    let pmd = first.as_ptr().wrapping_add(WINDOWS / LARGE);
    let pte = second.as_ptr().wrapping_add(1);
    // SAFETY: the frame is ours.
    unsafe { pte.add(1).write(NOT_PRESENT) };
    let address = (WINDOWS + PAGE) as *mut u32;
    let ops = BEFORE_INSTALL.mmu;
    let (flags, cr4) = (irq::save_flags(), cpu::read_cr4());
    irq::disable();
    // SAFETY: the kernel's text, data, stack and descriptors are in the direct map, at the same addresses
    // in both modes, and no interrupt comes. The entries are in tables that nobody else uses.
    let (read, old, new) = unsafe {
        mmu::write_cr3(root as usize);
        cpu::write_cr4((cr4 | PAGE_SIZE_EXTENSION) & !PHYSICAL_ADDRESS_EXTENSION);
        call(ops.set_pmd, pmd, table | page.bits());
        call(ops.set_pte, pte, data | page.bits());
        address.write_volatile(VALUE);
        let read = address.read_volatile();
        let old = call(ops.start_protection, pte, 0);
        call(ops.commit_protection, pte, old & !Flags::WRITABLE.bits());
        let new = pte.read_volatile();
        cpu::write_cr4(cr4);
        mmu::write_cr3(before);
        irq::restore_flags(flags);
        (read, old, new)
    };
    // SAFETY: these are still our frames, and nobody's afterwards.
    let (stored, behind) = unsafe {
        let words = (seen.cast::<u32>().read(), pte.add(1).read());
        for frame in [root, table, data] {
            frames::free(frame);
        }
        words
    };
    ensure!(read == VALUE, "what was written is {read:#x}");
    ensure!(stored == VALUE, "the frame has {stored:#x}");
    let touched = data | (page | Flags::ACCESSED | Flags::DIRTY).bits();
    ensure!(old == touched, "the entry was {old:#x}, not {touched:#x}");
    let wanted = (touched & !Flags::WRITABLE.bits()) as u32;
    ensure!(new == wanted, "the entry is {new:#x}, not {wanted:#x}");
    ensure!(behind == NOT_PRESENT, "the next entry is {behind:#x}");
    Ok(text!("mapped, written, changed without PAE"))
}

/// Calls the function of an op as an unpatched site does, and returns edx:eax.
///
/// # Safety
///
/// As for the op, which takes an entry and a value.
unsafe fn call<O: Op>(binding: Binding<O>, entry: *mut u32, value: u64) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the op's site loses eax, edx and ecx; the rest is the caller's affair.
    unsafe {
        asm!(
            "call {function}",
            function = in(reg) Change::to(binding).binding().target(),
            inout("eax") entry => low,
            inout("edx") value as u32 => high,
            inout("ecx") (value >> 32) as u32 => _,
        );
    }
    u64::from(high) << 32 | u64::from(low)
}
