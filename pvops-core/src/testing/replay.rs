//! A host that answers as the recorded one did.

mod hypercall;
mod memory;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::recording::{Exchange, Recording, Told, What};
use super::registers::NO_LEAF;
use super::state::State;
use crate::probe::CpuIdResult;

/// What is left of a recording: the answers to each question in the order in which they were given, and all
/// that the host was told in its order.
#[derive(Default)]
pub(super) struct Replay {
    cpuid: BTreeMap<(u32, u32), VecDeque<CpuIdResult>>,
    reads: BTreeMap<u32, VecDeque<Option<u64>>>,
    tsc: VecDeque<u64>,
    told: VecDeque<Told>,
    /// The registers that the recording writes.
    written: BTreeSet<u32>,
}

impl Replay {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut replay = Self::default();
        for exchange in recording.exchanges().iter().cloned() {
            match exchange {
                Exchange::Cpuid {
                    leaf,
                    subleaf,
                    answer,
                } => {
                    let answers = replay.cpuid.entry((leaf, subleaf)).or_default();
                    answers.push_back(answer);
                }
                Exchange::ReadMsr { index, value } => {
                    replay.reads.entry(index).or_default().push_back(value);
                }
                Exchange::ReadTsc(value) => replay.tsc.push_back(value),
                Exchange::Told(told) => {
                    if let What::WriteMsr { index, .. } = told.what {
                        replay.written.insert(index);
                    }
                    replay.told.push_back(told);
                }
            }
        }
        replay
    }

    /// What is left to be told, as a recording names it.
    pub(super) fn rest(&self) -> Vec<String> {
        self.told.iter().map(|told| told.what.to_string()).collect()
    }
}

/// The next answer of a queue.
fn next<K: Ord, V>(queues: &mut BTreeMap<K, VecDeque<V>>, key: &K) -> Option<V> {
    queues.get_mut(key)?.pop_front()
}

/// What was answered last holds until something else is.
impl State {
    pub(super) fn cpuid(&mut self, leaf: u32, subleaf: u32) -> CpuIdResult {
        let place = (leaf, subleaf);
        if let Some(answer) = next(&mut self.replay.cpuid, &place) {
            self.registers.cpuid.insert(place, answer);
        }
        self.registers.cpuid.get(&place).copied().unwrap_or(NO_LEAF)
    }

    /// Has a leaf read so, whatever was recorded.
    pub(super) fn set_cpuid(&mut self, leaf: u32, subleaf: u32, answer: CpuIdResult) {
        self.replay.cpuid.remove(&(leaf, subleaf));
        self.registers.cpuid.insert((leaf, subleaf), answer);
    }

    /// `None` if there is no such register.
    pub(super) fn read_msr(&mut self, index: u32) -> Option<u64> {
        match next(&mut self.replay.reads, &index) {
            Some(Some(value)) => {
                self.registers.msrs.insert(index, value);
                Some(value)
            }
            Some(None) => None,
            None => self.registers.msrs.get(&index).copied(),
        }
    }

    pub(super) fn read_tsc(&mut self) -> u64 {
        if let Some(tsc) = self.replay.tsc.pop_front() {
            self.time.set_tsc(tsc);
        }
        self.time.read_tsc()
    }

    /// Has the time-stamp counter read so next, whatever was recorded.
    pub(super) fn set_tsc(&mut self, tsc: u64) {
        self.replay.tsc.clear();
        self.time.set_tsc(tsc);
    }

    /// Whether there is such a register, which took the value.
    pub(super) fn write_msr(&mut self, index: u32, value: u64) -> bool {
        if !self.replay.written.contains(&index) {
            let register = self.registers.msrs.get_mut(&index);
            return register.map(|register| *register = value).is_some();
        }
        let made = format!("wrmsr {index:#x} {value:#x}");
        let Some(told) = self.next_told(&made) else {
            return true;
        };
        let What::WriteMsr {
            index: recorded_index,
            value: recorded,
            is_done,
        } = told.what
        else {
            self.fail(format!("{made}, where {} is recorded", told.what));
            return true;
        };
        if (recorded_index, recorded.at(&self.frames)) != (index, Some(value)) {
            self.fail(format!(
                "{made}, where wrmsr {recorded_index:#x} {recorded} is recorded"
            ));
        }
        if is_done {
            self.registers.msrs.insert(index, value);
        }
        self.write_as_host(&told.memory, &[]);
        is_done
    }

    /// What the host is told next in the recording; else the test fails for what it was told instead.
    fn next_told(&mut self, made: &str) -> Option<Told> {
        let told = self.replay.told.pop_front();
        if told.is_none() {
            self.fail(format!("{made}, and no host that answers it"));
        }
        told
    }
}
