//! The registers that only a kernel may touch.

use std::collections::BTreeMap;

use crate::probe::CpuIdResult;

/// Registers of one CPU.
pub(super) struct Registers {
    pub(super) cr0: usize,
    pub(super) cr2: usize,
    pub(super) cr3: usize,
    pub(super) cr4: usize,
    pub(super) cr8: usize,
    pub(super) debug: BTreeMap<u32, usize>,
    pub(super) extended: BTreeMap<u32, u64>,
    pub(super) msrs: BTreeMap<u32, u64>,
    pub(super) cpuid: BTreeMap<(u32, u32), CpuIdResult>,
    pub(super) fs_base: usize,
    pub(super) gs_base: usize,
    pub(super) kernel_gs_base: usize,
}

/// CR0: protection, write protection, paging. Intel SDM volume 3, section 2.5.
const CR0: usize = 1 | 1 << 16 | 1 << 31;
/// CR4.PAE.
pub(super) const CR4_PAE: usize = 1 << 5;
/// CR0.TS.
pub(super) const CR0_TASK_SWITCHED: usize = 1 << 3;

impl Default for Registers {
    fn default() -> Self {
        Registers {
            cr0: CR0,
            cr2: 0,
            cr3: 0,
            cr4: CR4_PAE,
            cr8: 0,
            debug: BTreeMap::new(),
            extended: BTreeMap::new(),
            msrs: BTreeMap::new(),
            cpuid: BTreeMap::new(),
            fs_base: 0,
            gs_base: 0,
            kernel_gs_base: 0,
        }
    }
}

/// What a CPU answers to a leaf that it has not, as AMD's do.
pub(super) const NO_LEAF: CpuIdResult = CpuIdResult {
    eax: 0,
    ebx: 0,
    ecx: 0,
    edx: 0,
};
