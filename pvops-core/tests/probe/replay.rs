//! A recorded machine: CPUID answers from a table.

use std::cell::Cell;
use std::rc::Rc;

use pvops_core::probe::{CpuIdReader, CpuIdResult, Interfaces};

/// EAX, EBX, ECX, EDX.
pub(crate) type Registers = [u32; 4];

/// What a machine answers where its table has nothing.
#[derive(Clone, Copy)]
pub(crate) enum OutOfRange {
    /// Zeroes, as AMD's CPUs do.
    Zero,
    /// The data of the highest basic leaf, as Intel's CPUs do.
    HighestBasicLeaf,
}

/// Counts the reads of all its clones.
#[derive(Clone)]
pub(crate) struct Machine {
    answers: Vec<((u32, u32), Registers)>,
    out_of_range: OutOfRange,
    reads: Rc<Cell<usize>>,
}

impl Machine {
    /// A CPU with the given vendor's answers to leaves out of range, and the hypervisor bit set.
    pub(crate) fn new(out_of_range: OutOfRange) -> Self {
        let machine = Self {
            answers: Vec::new(),
            out_of_range,
            reads: Rc::default(),
        };
        machine
            .with(0, [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69])
            .with(1, [0x0009_06ea, 0x0001_0800, 0xfffa_3203, 0x1f8b_fbff])
            // Base, maximum and bus frequency in MHz.
            .with(0x16, [3000, 3600, 100, 0])
    }

    pub(crate) fn with(self, leaf: u32, registers: Registers) -> Self {
        self.with_subleaf(leaf, 0, registers)
    }

    pub(crate) fn with_subleaf(mut self, leaf: u32, subleaf: u32, registers: Registers) -> Self {
        self.answers.insert(0, ((leaf, subleaf), registers));
        self
    }

    /// A leaf that names an interface.
    pub(crate) fn with_name(self, base: u32, max_leaf: u32, name: &[u8; 12]) -> Self {
        let word = |at: usize| u32::from_le_bytes(name[at..at + 4].try_into().unwrap());
        self.with(base, [max_leaf, word(0), word(4), word(8)])
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.get()
    }

    pub(crate) fn scan(&self) -> Interfaces {
        self.reads.set(0);
        let interfaces = Interfaces::scan(self);
        assert!(self.reads() <= Interfaces::MAX_READS);
        interfaces
    }

    /// Base, highest leaf and name of all interfaces.
    pub(crate) fn scanned(&self) -> Vec<(u32, u32, String)> {
        let interfaces = self.scan();
        assert_eq!(interfaces.dropped(), 0);
        interfaces
            .iter()
            .map(|i| (i.base(), i.max_leaf(), i.signature().to_string()))
            .collect()
    }

    fn recorded(&self, leaf: u32, subleaf: u32) -> Option<Registers> {
        let mut answers = self.answers.iter();
        let matches = |(key, _): &&((u32, u32), Registers)| *key == (leaf, subleaf);
        answers.find(matches).map(|(_, registers)| *registers)
    }
}

impl CpuIdReader for Machine {
    fn cpuid2(&self, leaf: u32, subleaf: u32) -> CpuIdResult {
        self.reads.set(self.reads.get() + 1);
        let otherwise = match self.out_of_range {
            OutOfRange::Zero => None,
            OutOfRange::HighestBasicLeaf => self.recorded(0x16, subleaf),
        };
        let registers = self.recorded(leaf, subleaf).or(otherwise);
        let [eax, ebx, ecx, edx] = registers.unwrap_or_default();
        CpuIdResult { eax, ebx, ecx, edx }
    }
}
