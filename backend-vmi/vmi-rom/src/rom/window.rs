//! The local APIC's page, mapped above `virtual_top`: one large page in the guest's page tables, where
//! the guest leaves the addresses to the ROM.

use core::arch::asm;
use core::arch::x86::__cpuid;
use core::sync::atomic::Ordering;

use super::state::State;
use super::{head, kvm};

/// Where it is in a guest's address space: with 4 MiB pages the second half of one, with PAE a page of
/// its own.
const ADDRESS: u32 = 0xFFE0_0000;
/// Where every local APIC begins (Intel SDM, volume 3, section 11.4.1).
const PHYSICAL: u32 = 0xFEE0_0000;

const IA32_APIC_BASE: u32 = 0x1B;
/// Global enable, and x2APIC mode.
const MODE_MASK: u32 = 1 << 11 | 1 << 10;
const XAPIC: u32 = 1 << 11;

const CPUID_PSE: u32 = 1 << 3;
const CPUID_APIC: u32 = 1 << 9;
const CR4_PSE: u32 = 1 << 4;
const CR4_PAE: u32 = 1 << 5;

/// Present, writable, not cached, large.
const ENTRY_FLAGS: u32 = 0x9B;
const PRESENT: u32 = 1;
/// Accessed and dirty, which the CPU sets.
const USED: u32 = 0x60;
const TABLE_MASK: u32 = !0xFFF;

/// Maps it in the current tables, if there is one and it is where it should be.
pub(super) fn open(state: &State) {
    let features = __cpuid(1).edx;
    let wanted = CPUID_PSE | CPUID_APIC;
    if features & wanted != wanted {
        return;
    }
    // SAFETY: CPUs with a local APIC have it.
    let base = unsafe { kvm::read_msr(IA32_APIC_BASE) } as u32;
    if base & TABLE_MASK != PHYSICAL || base & MODE_MASK != XAPIC {
        return;
    }
    let cr3: u32;
    // SAFETY: it only tells.
    unsafe { asm!("mov {}, cr3", out(reg) cr3, options(nomem, nostack, preserves_flags)) };
    // Until `SetLinearMapping` tells better.
    let distance = head::rom_address().wrapping_sub(head::rom_physical_address());
    state
        .linear
        .set(distance, 0, u64::from(distance.wrapping_neg()));
    if map(state, cr3) {
        state.has_window.store(1, Ordering::Relaxed);
    }
    state.linear.set(0, 0, 0);
}

/// Maps it in tables that become the current ones, if the guest has not copied the entry there.
pub(super) fn keep(state: &State, cr3: u32) {
    if state.has_window.load(Ordering::Relaxed) != 0 {
        map(state, cr3);
    }
}

fn map(state: &State, cr3: u32) -> bool {
    let cr4: u32;
    // SAFETY: this reads and sets a bit without which the entry would mean something else; the guest's
    // own entries do not change their meaning if none of them has the bit for large pages.
    unsafe {
        asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
        if cr4 & (CR4_PSE | CR4_PAE) == 0 {
            asm!("mov cr4, {}", in(reg) cr4 | CR4_PSE, options(nostack, preserves_flags));
        }
    }
    if cr4 & CR4_PAE == 0 {
        let entry = (cr3 & TABLE_MASK) + (ADDRESS >> 22) * 4;
        return put(state, entry, PHYSICAL & !0x3F_FFFF);
    }
    // The last of four directories has the last gigabyte.
    let Some(pointer) = state.linear.find((cr3 & !0x1F) + 3 * 8) else {
        return false;
    };
    // SAFETY: the guest maps its tables linearly.
    let directory = unsafe { (pointer as *const u32).read_volatile() };
    if directory & PRESENT == 0 {
        return false;
    }
    put(
        state,
        (directory & TABLE_MASK) + (ADDRESS >> 21 & 0x1FF) * 8,
        PHYSICAL,
    )
}

/// Fills an entry unless it is filled so. What it had before is not the guest's any more: Linux's first
/// tables have one there, of a time before the guest knew of the ROM.
fn put(state: &State, entry: u32, frame: u32) -> bool {
    let Some(entry) = state.linear.find(entry) else {
        return false;
    };
    let entry = entry as *mut u32;
    let wanted = frame | ENTRY_FLAGS;
    // SAFETY: the guest maps its tables linearly, and leaves this entry to the ROM. The high half of a
    // long one is 0 in a table of the guest's, or in a page that is not there.
    unsafe {
        if entry.read_volatile() & !USED != wanted {
            entry.write_volatile(wanted);
            asm!("invlpg [{}]", in(reg) ADDRESS, options(nostack, preserves_flags));
        }
    }
    true
}

/// Reads a register of this CPU's local APIC.
pub(super) fn read(register: u32) -> u32 {
    // SAFETY: the page is mapped, and guests know what they read.
    unsafe { address(register).read_volatile() }
}

/// Writes a register of this CPU's local APIC.
pub(super) fn write(register: u32, value: u32) {
    // SAFETY: as above.
    unsafe { address(register).write_volatile(value) };
}

fn address(register: u32) -> *mut u32 {
    (ADDRESS | register & 0xFF0) as *mut u32
}
