//! The flag words of the calls for page tables.
//!
//! The ops for page tables know the level of an entry and not the virtual address that it maps, so
//! their flags are the bare level, as Linux has it wherever it does not know the address (vmi_32.c,
//! `vmi_set_pte`). In lazy mode a change may wait until that ends, which Linux can't say of such an
//! entry, as its lazy mode does not promise so much. A kernel that knows the address has
//! [`UpdateFlags::at`].

use crate::abi::paging::{flush, level, page, update};

/// Flags of `SetPxE` and `UpdatePxE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UpdateFlags(pub u32);

impl UpdateFlags {
    /// An entry of a page table (level 1) to page-directory-pointer table (level 3).
    pub const fn of_level(level: u32) -> Option<Self> {
        match level_bit(level) {
            Some(bit) => Some(UpdateFlags(bit)),
            None => None,
        }
    }

    /// The same, of the entry that maps the page of `address` in the address space that is loaded.
    #[must_use]
    pub const fn at(self, address: u32) -> Self {
        let level = self.0 & !update::VA_MASK;
        UpdateFlags(level | update::CURRENT_AS | address & update::VA_MASK)
    }

    /// The same, and the change need not be in effect before the page or the TLB is flushed, or lazy
    /// mode is left.
    #[must_use]
    pub const fn deferred(self) -> Self {
        UpdateFlags(self.0 | update::DEFER)
    }
}

/// Flags of `AllocatePage` and `ReleasePage`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageFlags(pub u32);

impl PageFlags {
    /// A page table or directory with entries of this kind; `None` for tables that the ROM does not
    /// want to know of. Page-directory-pointer tables may be shared with other data, so they are
    /// not told.
    pub const fn of_level(level: u32, entries: Entries) -> Option<Self> {
        let bit = match level_bit(level) {
            Some(bit @ (level::PT | level::PD)) => bit,
            _ => return None,
        };
        let entries = match entries {
            Entries::Bits32 => 0,
            Entries::Bits64 => page::PAE,
        };
        Some(PageFlags(bit | entries))
    }

    /// The same, of a page whose entries are all 0.
    #[must_use]
    pub const fn zeroed(self) -> Self {
        PageFlags(self.0 | page::ZEROED)
    }

    /// The same, of a page some of whose entries are those of another.
    #[must_use]
    pub const fn cloned(self) -> Self {
        PageFlags(self.0 | page::CLONE)
    }
}

/// The entries of page tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entries {
    /// Without PAE.
    Bits32,
    /// With PAE.
    Bits64,
}

/// What `FlushTLB` drops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlushFlags(pub u32);

impl FlushFlags {
    /// What is not global.
    pub const NOT_GLOBAL: Self = FlushFlags(flush::TLB);
    /// Everything.
    pub const ALL: Self = FlushFlags(flush::TLB | flush::GLOBAL);
}

const fn level_bit(level: u32) -> Option<u32> {
    match level {
        1 => Some(level::PT),
        2 => Some(level::PD),
        3 => Some(level::PDP),
        _ => None,
    }
}
