//! Descriptor tables, as the CPU reads them.

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

/// An entry of the interrupt descriptor table. Intel SDM volume 3, figure 7-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct GateDescriptor {
    /// The first eight bytes.
    pub low: u64,
    /// The last eight bytes.
    pub high: u64,
}

const _: () = assert!(size_of::<GateDescriptor>() == 16);
const _: () = assert!(size_of::<DescriptorTablePointer>() == 2 + size_of::<usize>());
