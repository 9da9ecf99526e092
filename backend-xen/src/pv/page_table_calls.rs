//! The calls that change page tables and TLBs. Xen's public/xen.h, `mmu_update`, `mmuext_op` and
//! `update_va_mapping`.

use super::translation::Mfn;
use crate::error::XenError;
use crate::hypercall::{HypercallNumber, hypercall};

/// DOMID_SELF: this domain.
pub(super) const SELF: u64 = 0x7ff0;

/// One change of a page table's entry: `mmu_update_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Update {
    /// Machine address of the entry, and in its low bits the command.
    pub(super) entry: u64,
    pub(super) value: u64,
}

impl Update {
    /// MMU_PT_UPDATE_PRESERVE_AD: keeps the accessed and dirty bits that are in the entry.
    pub(super) const PRESERVE_ACCESSED_DIRTY: u64 = 2;
}

/// One operation on page tables as a whole, or on TLBs: `mmuext_op`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Extended {
    command: u32,
    argument1: u64,
    argument2: u64,
}

impl Extended {
    pub(super) fn pin_root(root: Mfn) -> Self {
        Self::new(3, root.0, 0)
    }

    pub(super) fn unpin(table: Mfn) -> Self {
        Self::new(4, table.0, 0)
    }

    /// The tables for the kernel.
    pub(super) fn use_root(root: Mfn) -> Self {
        Self::new(5, root.0, 0)
    }

    /// The tables for programs; frame 0 for none.
    pub(super) fn use_user_root(root: Mfn) -> Self {
        Self::new(15, root.0, 0)
    }

    pub(super) fn flush_tlb() -> Self {
        Self::new(6, 0, 0)
    }

    pub(super) fn flush_page(address: usize) -> Self {
        Self::new(7, address as u64, 0)
    }

    /// `cpus` leads to a bit map of virtual CPUs.
    pub(super) fn flush_tlb_of(cpus: *const u64) -> Self {
        Self::new(8, 0, cpus.expose_provenance() as u64)
    }

    pub(super) fn flush_page_of(address: usize, cpus: *const u64) -> Self {
        Self::new(9, address as u64, cpus.expose_provenance() as u64)
    }

    pub(super) fn flush_cache() -> Self {
        Self::new(12, 0, 0)
    }

    pub(super) fn use_ldt(address: usize, entries: u64) -> Self {
        Self::new(13, address as u64, entries)
    }

    fn new(command: u32, argument1: u64, argument2: u64) -> Self {
        Extended {
            command,
            argument1,
            argument2,
        }
    }
}

/// Makes changes to entries, in their order.
///
/// # Safety
///
/// What they map must be right for everybody who uses the tables.
pub(super) unsafe fn update(updates: &[Update]) -> Result<(), XenError> {
    let arguments = [address(updates), updates.len() as u64, 0, SELF];
    // SAFETY: as the caller vouches; Xen only reads the list.
    unsafe { hypercall(HypercallNumber::MMU_UPDATE, arguments)? };
    Ok(())
}

/// Does operations, in their order.
///
/// # Safety
///
/// As for [`update`].
pub(super) unsafe fn extended(operations: &[Extended]) -> Result<(), XenError> {
    let arguments = [address(operations), operations.len() as u64, 0, SELF];
    // SAFETY: as the caller vouches; Xen only reads the list.
    unsafe { hypercall(HypercallNumber::MMUEXT_OP, arguments)? };
    Ok(())
}

/// Maps `entry` at `address` on the tables in use, and drops this CPU's translation of it.
///
/// # Safety
///
/// As for [`update`].
pub(super) unsafe fn update_mapping(address: usize, entry: u64) -> Result<(), XenError> {
    let arguments = [address as u64, entry, FLUSH_PAGE];
    // SAFETY: as the caller vouches.
    unsafe { hypercall(HypercallNumber::UPDATE_VA_MAPPING, arguments)? };
    Ok(())
}

/// As [`update_mapping`], and no CPU has the old one in its TLB afterwards.
///
/// # Safety
///
/// As for [`update`].
pub(super) unsafe fn replace_mapping(address: usize, entry: u64) -> Result<(), XenError> {
    /// UVMF_INVLPG and UVMF_ALL.
    const FLUSH_PAGE_OF_ALL: u64 = 2 | 4;
    let arguments = [address as u64, entry, FLUSH_PAGE_OF_ALL];
    // SAFETY: as the caller vouches.
    unsafe { hypercall(HypercallNumber::UPDATE_VA_MAPPING, arguments)? };
    Ok(())
}

/// UVMF_INVLPG, on this CPU.
pub(super) const FLUSH_PAGE: u64 = 2;

fn address<T>(list: &[T]) -> u64 {
    list.as_ptr().expose_provenance() as u64
}
