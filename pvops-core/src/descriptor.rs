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

cfg_if::cfg_if! {
    if #[cfg(target_pointer_width = "64")] {
        /// Half of a [`GateDescriptor`].
        pub type HalfGate = u64;
    } else {
        /// Half of a [`GateDescriptor`].
        pub type HalfGate = u32;
    }
}

/// An entry of the interrupt descriptor table. Intel SDM volume 3, figures 7-2 and 7-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct GateDescriptor {
    /// The first half.
    pub low: HalfGate,
    /// The last half.
    pub high: HalfGate,
}

const _: () = assert!(size_of::<GateDescriptor>() == 2 * size_of::<usize>());
const _: () = assert!(size_of::<DescriptorTablePointer>() == 2 + size_of::<usize>());
