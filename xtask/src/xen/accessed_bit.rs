//! Xen for 32-bit guests on QEMU's TCG, less one check.
//!
//! A guest's 32-bit PAE paging has a top table of four entries, in which the accessed bit is reserved (AMD64
//! APM volume 2, 5.2.3; Intel SDM volume 3, table 4-8): a CPU does not set it. TCG sets it, since QEMU
//! 7.2 (`mmu_translate` of target/i386/tcg/sysemu/excp_helper.c). Nobody sees that but a hypervisor that
//! reads the guest's tables, as Xen does for the bytes of an instruction that has trapped, because TCG's SVM
//! does not tell its length, and for the arguments of a hypercall. Xen finds a reserved bit, gives up, and the
//! guest executes its first CPUID for ever. There is no way round by options: QEMU has none for this, and
//! Debian's Xen is built without shadow paging.

/// The bits of such an entry that Xen wants to be 0, one value in its code: `GUEST_L3_PAGETABLE_RSVD` of
/// Xen's asm/guest_pt.h, for `GUEST_PAGING_LEVELS` of 3.
const RESERVED: u64 = 0xfff0_0000_0000_01e6;

/// Xen's `_PAGE_ACCESSED`.
const ACCESSED: u64 = 1 << 5;

/// Has the Xen in `file` allow the bit.
///
/// # Errors
/// Its check is not where it is in a Xen that we know; the error is the reason not to use it.
pub(super) fn allow(file: &mut [u8]) -> Result<(), String> {
    let wanted = RESERVED.to_le_bytes();
    let mut places = (0..file.len()).filter(|&start| file[start..].starts_with(&wanted));
    match (places.next(), places.next()) {
        (Some(start), None) => {
            let value = (RESERVED & !ACCESSED).to_le_bytes();
            file[start..start + value.len()].copy_from_slice(&value);
            Ok(())
        }
        _ => Err(
            "QEMU sets the accessed bit in the top entries of 32-bit page tables, and this Xen has its check \
             of that not in the one place that we know to change"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Xen with that many checks.
    fn xen(checks: usize) -> Vec<u8> {
        [&b"mov rcx, "[..], &RESERVED.to_le_bytes().repeat(checks)].concat()
    }

    #[test]
    fn one_bit_of_the_one_check_is_changed() {
        let mut file = xen(1);
        allow(&mut file).unwrap();
        assert_eq!(file, b"mov rcx, \xc6\x01\0\0\0\0\xf0\xff");
    }

    #[test]
    fn a_xen_with_no_such_check_or_two_is_left_alone() {
        for checks in [0, 2] {
            let mut file = xen(checks);
            assert!(allow(&mut file).is_err());
            assert_eq!(file, xen(checks));
        }
    }
}
