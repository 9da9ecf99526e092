//! The numbers of memory kinds come from firmware and hosts, and new ones appear: a kind that is
//! not known must never be taken for RAM.

use core::fmt;

/// A range of physical memory of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The address of its first byte.
    pub start: u64,
    /// The address after its last byte; greater than `start`.
    pub end: u64,
    /// What the range is.
    pub kind: RegionKind,
}

impl Region {
    pub(super) const EMPTY: Self = Self {
        start: 0,
        end: 0,
        kind: RegionKind::RESERVED,
    };

    /// Its length in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// What a range of physical memory is, by its E820 type: ACPI 6.5 table 15.4 "Address Range
/// Types", `XEN_HVM_MEMMAP_TYPE_*` of public/arch-x86/hvm/start_info.h, Multiboot2 section 3.6.8
/// "Memory map". All other values count as reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegionKind(pub u32);

impl RegionKind {
    /// RAM for the kernel to use.
    pub const USABLE: Self = Self(1);
    /// Not for use.
    pub const RESERVED: Self = Self(2);
    /// RAM that holds ACPI tables, free once they have been read.
    pub const ACPI_RECLAIMABLE: Self = Self(3);
    /// RAM that the firmware needs kept across sleep.
    pub const ACPI_NVS: Self = Self(4);
    /// RAM that is defective.
    pub const BAD: Self = Self(5);

    /// RAM that a backend needs: the kernel maps it as the other RAM, and leaves it alone. Not a type of
    /// E820.
    pub const KEPT_BY_BACKEND: Self = Self(0x8000_0000);

    /// As a loader reports it, who knows nothing of backends.
    pub(super) fn reported(kind: u32) -> Self {
        match Self(kind) {
            Self::KEPT_BY_BACKEND => Self::RESERVED,
            kind => kind,
        }
    }

    /// Whether this is RAM for the kernel to use at once.
    pub fn is_usable(self) -> bool {
        self == Self::USABLE
    }

    /// Which kind holds where two regions overlap: the greater, so that the answer does not depend
    /// on the order of the map. RAM yields to all others, and what may become RAM later yields to
    /// what may not.
    pub(super) fn precedence(self) -> (u8, u32) {
        let class = match self {
            Self::USABLE => 0,
            Self::ACPI_RECLAIMABLE => 1,
            Self::ACPI_NVS => 2,
            Self::BAD => 4,
            _ => 3,
        };
        (class, self.0)
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::USABLE => "usable",
            Self::RESERVED => "reserved",
            Self::ACPI_RECLAIMABLE => "ACPI reclaimable",
            Self::ACPI_NVS => "ACPI NVS",
            Self::BAD => "bad",
            Self::KEPT_BY_BACKEND => "kept by the backend",
            Self(kind) => return write!(f, "reserved (type {kind})"),
        })
    }
}

impl fmt::Debug for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
