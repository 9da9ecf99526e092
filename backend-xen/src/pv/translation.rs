//! The two numbers of a frame: the domain's own, and the machine's.
//!
//! A PV domain counts its frames from 0, but page tables hold the numbers of the machine. The list from
//! the one to the other (P2M) is the domain's, that from the other to the one (M2P) is Xen's, for all
//! domains to read. Xen's public/xen.h and public/arch-x86/xen-x86_64.h.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use pvops_core::extable_entry;

/// Number of a frame as this domain has it: what its kernel takes for the physical address, by 4096.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Pfn(pub(crate) u64);

/// Number of a frame as the machine has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mfn(pub(crate) u64);

impl Pfn {
    /// The machine's number for the frame, or `None` if this domain has no such frame. Any context.
    pub(crate) fn machine(self) -> Option<Mfn> {
        if self.0 >= FRAMES.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: the list has that many words, which stay mapped.
        let word = unsafe {
            P2M.load(Ordering::Relaxed)
                .add(self.0 as usize)
                .read_volatile()
        };
        (word & FOREIGN_OR_INVALID == 0).then_some(Mfn(word))
    }

    /// Says that another frame of the machine is behind this number.
    ///
    /// # Safety
    ///
    /// The domain must have that frame, or have been given it to map, and nobody may use what was
    /// there before.
    pub(crate) unsafe fn set_machine(self, frame: Mfn) {
        if self.0 < FRAMES.load(Ordering::Relaxed) {
            // SAFETY: as above, and the list is the domain's to write.
            unsafe {
                P2M.load(Ordering::Relaxed)
                    .add(self.0 as usize)
                    .write_volatile(frame.0);
            }
        }
    }

    /// Says that there is no memory behind this number.
    ///
    /// # Safety
    ///
    /// Nobody uses the frame.
    pub(crate) unsafe fn set_absent(self) {
        // SAFETY: all ones are an entry without a frame; nobody uses what was there.
        unsafe { self.set_machine(Mfn(u64::MAX)) };
    }
}

impl Mfn {
    /// This domain's number for the frame, or `None` if the frame is not this domain's. Any context.
    pub(crate) fn own(self) -> Option<Pfn> {
        if self.0 >= M2P_ENTRIES {
            return None;
        }
        // SAFETY: Xen's list may be read; where it has a hole, the load is made good.
        let pfn = Pfn(unsafe { read_or_ones(M2P.wrapping_add(self.0 as usize)) });
        (pfn.machine() == Some(self)).then_some(pfn)
    }
}

/// Uses the list at `list`, of as many frames.
///
/// # Safety
///
/// The list must stay mapped, and be right.
pub(super) unsafe fn set_list(list: *mut u64, frames: u64) {
    P2M.store(list, Ordering::Relaxed);
    FRAMES.store(frames, Ordering::Relaxed);
}

/// Where the list is.
pub(super) fn list() -> *mut u64 {
    P2M.load(Ordering::Relaxed)
}

/// Frames that the domain counts.
pub(super) fn frames() -> u64 {
    FRAMES.load(Ordering::Relaxed)
}

static P2M: AtomicPtr<u64> = AtomicPtr::new(ptr::null_mut());
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Two bits by which lists mark what is not the domain's memory; an entry of all ones has no frame.
const FOREIGN_OR_INVALID: u64 = 0b11 << 62;

/// Xen's list: MACH2PHYS_VIRT_START to MACH2PHYS_VIRT_END.
const M2P: *const u64 = ptr::without_provenance(0xffff_8000_0000_0000);
const M2P_ENTRIES: u64 = 0x40_0000_0000 / 8;

/// Reads a word, or all ones where nothing is mapped.
///
/// # Safety
///
/// Whatever is there must be readable without effect.
unsafe fn read_or_ones(word: *const u64) -> u64 {
    let mut value: u64 = u64::MAX;
    // SAFETY: as the caller vouches; the exception table takes care of a fault.
    unsafe {
        core::arch::asm!(
            "771: mov {value}, [{word}]",
            "772:",
            extable_entry!("771b", "772b"),
            value = inout(reg) value,
            word = in(reg) word,
            options(nostack, readonly, preserves_flags),
        );
    }
    value
}
