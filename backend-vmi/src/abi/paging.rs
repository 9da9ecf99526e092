//! Flags of the calls for page tables and the TLB.

/// Level of a page table; part of both other kinds of flags (vmi.h, `VMI_PAGE_PT` and following).
pub mod level {
    /// Page table.
    pub const PT: u32 = 0x01;
    /// Page directory.
    pub const PD: u32 = 0x02;
    /// Page directory pointers (PAE). Such tables can be shared and are not registered.
    pub const PDP: u32 = 0x04;
    /// Never used.
    pub const PML4: u32 = 0x08;
}

/// Flags of `AllocatePage` and `ReleasePage` (vmi.h), with a [`level`].
pub mod page {
    /// The entries have 64 bits.
    pub const PAE: u32 = 0x10;
    /// Some entries are copied from another table.
    pub const CLONE: u32 = 0x20;
    /// All entries are 0.
    pub const ZEROED: u32 = 0x40;
}

/// Flags of `SetPxE`, `UpdatePxE` and their 64-bit forms (vmi.h), with a [`level`].
pub mod update {
    /// [`VA_MASK`] has the virtual address, and the tables are those that CR3 points to.
    pub const CURRENT_AS: u32 = 0x10;
    /// Need not be in effect before the next invalidation of the page or the TLB.
    pub const DEFER: u32 = 0x20;
    /// The virtual address that the entry maps, if known.
    pub const VA_MASK: u32 = 0xFFFF_F000;
}

/// Flags of `FlushTLB` (vmi.h, `VMI_FLUSH_*`).
pub mod flush {
    /// All entries but global ones; always set.
    pub const TLB: u32 = 0x01;
    /// Global entries too.
    pub const GLOBAL: u32 = 0x02;
}

/// Slots of `SetLinearMapping`.
pub mod linear_mapping {
    /// All memory that is mapped linearly: what contains page tables.
    pub const LOW_MEMORY: u32 = 0;
    /// Number of slots.
    pub const SLOTS: u32 = 4;
}
