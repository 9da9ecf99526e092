//! An interface is a window of CPUID leaves; what lies outside it is somebody else's.

use super::{BASE_STEP, CpuIdReader, CpuIdResult, Signature};

/// A hypervisor interface found at one CPUID base leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    signature: Signature,
    base: u32,
    max_leaf: u32,
}

impl Interface {
    /// Its name.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Its first leaf, which gives the name.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Its last leaf.
    pub fn max_leaf(&self) -> u32 {
        self.max_leaf
    }

    /// Reads leaf `base + offset`, if the interface has one.
    pub fn leaf(&self, reader: &impl CpuIdReader, offset: u32) -> Option<CpuIdResult> {
        self.subleaf(reader, offset, 0)
    }

    /// Reads leaf `base + offset` with `subleaf` in ECX, if the interface has that leaf.
    pub fn subleaf(
        &self,
        reader: &impl CpuIdReader,
        offset: u32,
        subleaf: u32,
    ) -> Option<CpuIdResult> {
        let leaf = self.base.checked_add(offset)?;
        (leaf <= self.max_leaf).then(|| reader.cpuid2(leaf, subleaf))
    }

    /// The interface that leaf `base` announces, if it is one: the rules are in the
    /// [module's documentation](super).
    pub(super) fn from_base_leaf(base: u32, answer: CpuIdResult) -> Option<Self> {
        let signature = Signature::from_registers(answer.ebx, answer.ecx, answer.edx);
        let max_leaf = match answer.eax {
            0 => base + 1,
            max_leaf => max_leaf,
        };
        let window = base..=base + (BASE_STEP - 1);
        (signature.is_text() && window.contains(&max_leaf)).then_some(Self {
            signature,
            base,
            max_leaf,
        })
    }

    /// Whether `other`, at a higher base, cannot be told from this one.
    pub(super) fn is_echoed_by(&self, other: &Self) -> bool {
        self.signature == other.signature
            && self.max_leaf - self.base == other.max_leaf - other.base
    }
}
