//! Stock KVM for 32-bit guests on QEMU's TCG, less one check.
//!
//! The top table of 32-bit PAE paging has four entries, in which the accessed bit is reserved (AMD64 APM
//! volume 2, figure 5-10; Intel SDM volume 3, table 5-8): a CPU does not set it. TCG sets it, since QEMU 7.2.
//! Nobody sees that but a hypervisor that reads the guest's tables. KVM does when a guest changes CR0.PG or
//! CR4.PGE, and whenever it executes an instruction in the guest's place; it finds a reserved bit, and raises
//! #GP or goes by what it has read before.

/// The bits that have to be 0 besides those above the physical address, in KVM's `load_pdptrs`, as the
/// operand of its OR instruction: a 64-bit register, 32 bits sign-extended.
const RESERVED: u32 = 0x1e6;
const ACCESSED: u32 = 1 << 5;
const OR: [u8; 2] = [0x48, 0x81];
/// What the instruction's third byte has besides the register's number.
const OR_REGISTER: u8 = 0xc8;
/// How a module ends that is signed. Without it, Linux takes a module for one that never was.
/// `MODULE_SIG_STRING` of linux/module_signature.h.
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// Has the module `kvm` allow the bit.
///
/// # Errors
/// Its check is not where it is in a KVM that we know; the error is the reason not to use it.
pub(super) fn allow(module: &mut Vec<u8>) -> Result<(), String> {
    let is_check = |start: &usize| match &module[*start..] {
        [first, second, register, operand @ ..] => {
            [*first, *second] == OR
                && register & 0xf8 == OR_REGISTER
                && operand.starts_with(&RESERVED.to_le_bytes())
        }
        _ => false,
    };
    let mut places = (0..module.len()).filter(is_check);
    match (places.next(), places.next()) {
        (Some(start), None) => {
            let operand = start + 3;
            let value = (RESERVED & !ACCESSED).to_le_bytes();
            module[operand..operand + value.len()].copy_from_slice(&value);
            let unsigned = module.strip_suffix(SIGNED).unwrap_or(module).len();
            module.truncate(unsigned);
            Ok(())
        }
        _ => Err(
            "QEMU sets the accessed bit in the top entries of 32-bit page tables, and this KVM has its check \
             of that not in the one place that we know to change"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &[u8] = b"\x48\x81\xc9\xe6\x01\0\0";

    #[test]
    fn one_bit_of_the_one_check_is_changed() {
        let mut module = [b"\x48\x81\xe6\x01\0\0", CHECK, b"\x48\x85", SIGNED].concat();
        allow(&mut module).unwrap();
        assert_eq!(
            module,
            b"\x48\x81\xe6\x01\0\0\x48\x81\xc9\xc6\x01\0\0\x48\x85"
        );
    }

    #[test]
    fn a_module_with_no_such_check_or_two_is_left_alone() {
        for checks in [0, 2] {
            let mut module = CHECK.repeat(checks);
            assert!(allow(&mut module).is_err());
            assert_eq!(module, CHECK.repeat(checks));
        }
    }
}
