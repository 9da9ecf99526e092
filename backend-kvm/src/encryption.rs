//! What a guest with encrypted memory tells its host.

use pvops_core::cpu;

use crate::features::{Features, NotOffered};
use crate::hypercall::{HypercallError, HypercallNumber, hypercall};

/// Tells the host that `pages` pages of 4096 bytes, from the physical address `start` on, are or are
/// not encrypted: KVM_HC_MAP_GPA_RANGE of Linux's Documentation/virt/kvm/x86/hypercalls.rst. Any context; it
/// exits to whoever runs the virtual machine.
///
/// # Errors
///
/// [`HypercallError::NO_SUCH_CALL`] if the host does not offer it, [`HypercallError::INVALID`] if
/// `start` is not the address of a page or the range is empty or too long, else what whoever runs
/// the virtual machine answers.
///
/// # Safety
///
/// The kernel must be done with the memory as it was: the host may take its content away.
pub unsafe fn map_gpa_range(
    start: u64,
    pages: u64,
    page_size: PageSize,
    encryption: Encryption,
) -> Result<(), HypercallError> {
    if Features::HC_MAP_GPA_RANGE.demand().is_err() {
        return Err(HypercallError::NO_SUCH_CALL);
    }
    let attributes = page_size as u64 | encryption as u64;
    // SAFETY: the caller is done with the memory.
    unsafe { hypercall(HypercallNumber::MAP_GPA_RANGE, [start, pages, attributes]) }?;
    Ok(())
}

/// How the page tables map a range: KVM_MAP_GPA_RANGE_PAGE_SZ_.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum PageSize {
    /// By pages of 4 KiB.
    Size4K = 0,
    /// By pages of 2 MiB.
    Size2M = 1,
    /// By pages of 1 GiB.
    Size1G = 2,
}

/// Whether the host can read a range: KVM_MAP_GPA_RANGE_ENCRYPTED, _DECRYPTED.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum Encryption {
    /// It can.
    Decrypted = 0,
    /// It can't.
    Encrypted = 1 << 4,
}

/// MSR_KVM_MIGRATION_CONTROL: 1 if the guest can be migrated.
const MIGRATION_CONTROL: u32 = 0x4b56_4d08;

/// Lets the host migrate this guest, now that it has been told of all memory that is not encrypted.
/// Any context.
///
/// # Errors
///
/// If the host does not ask: a guest without encrypted memory it migrates anyway.
pub fn allow_migration() -> Result<(), NotOffered> {
    Features::MIGRATION_CONTROL.demand()?;
    // SAFETY: the feature bit says that the register exists; it has no effect on what runs.
    unsafe { cpu::write_msr(MIGRATION_CONTROL, 1) };
    Ok(())
}

/// Forbids the host to migrate this guest. Any context.
///
/// # Errors
///
/// As for [`allow_migration`].
pub fn forbid_migration() -> Result<(), NotOffered> {
    Features::MIGRATION_CONTROL.demand()?;
    // SAFETY: as above.
    unsafe { cpu::write_msr(MIGRATION_CONTROL, 0) };
    Ok(())
}
