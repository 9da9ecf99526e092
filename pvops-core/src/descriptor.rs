//! Operands of the instructions that load descriptor tables.

/// Limit and base of a descriptor table, as LGDT and LIDT read them.
/// Intel SDM volume 3, section 2.4.1.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct DescriptorTablePointer {
    /// Size of the table in bytes, less one.
    pub limit: u16,
    /// Linear address of the table.
    pub base: usize,
}

const _: () = assert!(size_of::<DescriptorTablePointer>() == 2 + size_of::<usize>());
