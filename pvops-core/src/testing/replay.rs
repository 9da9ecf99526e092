//! A host that answers as the recorded one did.

use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::string::String;
use std::vec::Vec;

use super::recording::{Exchange, HostWrite, Recording, Word};
use super::registers::NO_LEAF;
use super::state::State;
use crate::probe::CpuIdResult;

/// What is left of a recording: the answers to each question in the order in which they were given.
#[derive(Default)]
pub(super) struct Replay {
    cpuid: BTreeMap<(u32, u32), VecDeque<CpuIdResult>>,
    reads: BTreeMap<u32, VecDeque<Option<u64>>>,
    writes: BTreeMap<u32, VecDeque<Write>>,
    hypercalls: BTreeMap<u64, VecDeque<Call>>,
}

struct Write {
    value: Word,
    is_done: bool,
    memory: Vec<HostWrite>,
}

struct Call {
    result: u64,
    memory: Vec<HostWrite>,
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
                } => replay
                    .cpuid
                    .entry((leaf, subleaf))
                    .or_default()
                    .push_back(answer),
                Exchange::ReadMsr { index, value } => {
                    replay.reads.entry(index).or_default().push_back(value);
                }
                Exchange::WriteMsr {
                    index,
                    value,
                    is_done,
                    memory,
                } => replay.writes.entry(index).or_default().push_back(Write {
                    value,
                    is_done,
                    memory,
                }),
                Exchange::Hypercall {
                    number,
                    result,
                    memory,
                    ..
                } => {
                    let calls = replay.hypercalls.entry(number).or_default();
                    calls.push_back(Call { result, memory });
                }
            }
        }
        replay
    }

    /// The writes and calls that are left, as a recording names them.
    pub(super) fn rest(&self) -> Vec<String> {
        let writes = self
            .writes
            .iter()
            .flat_map(|(index, left)| left.iter().map(move |_| format!("wrmsr {index:#x}")));
        let calls = self
            .hypercalls
            .iter()
            .flat_map(|(number, left)| left.iter().map(move |_| format!("hypercall {number:#x}")));
        writes.chain(calls).collect()
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

    /// Whether there is such a register, which took the value.
    pub(super) fn write_msr(&mut self, index: u32, value: u64) -> bool {
        let Some(write) = next(&mut self.replay.writes, &index) else {
            let register = self.registers.msrs.get_mut(&index);
            return register.map(|register| *register = value).is_some();
        };
        let recorded = write.value.at(&self.frames);
        if recorded != Some(value) {
            let recorded = write.value;
            self.fail(format!(
                "wrmsr {index:#x} {value:#x}, where {recorded:x?} is recorded"
            ));
        }
        if write.is_done {
            self.registers.msrs.insert(index, value);
        }
        self.write_as_host(&write.memory);
        write.is_done
    }

    pub(super) fn replay_hypercall(&mut self, number: u64) -> u64 {
        match next(&mut self.replay.hypercalls, &number) {
            Some(call) => {
                self.write_as_host(&call.memory);
                call.result
            }
            None => {
                self.fail(format!(
                    "hypercall {number:#x}, and no host that answers it"
                ));
                u64::MAX
            }
        }
    }

    fn write_as_host(&mut self, memory: &[HostWrite]) {
        const FRAME: usize = 4096;
        for HostWrite { place, bytes } in memory {
            let Word::InFrame { frame, offset } = *place else {
                continue;
            };
            let base = self.frames.get(frame).copied();
            let room = FRAME.saturating_sub(offset as usize);
            let (Some(base), true) = (base, bytes.len() <= room) else {
                self.fail(format!("{place:x?} is in no frame that was asked for"));
                return;
            };
            let start = std::ptr::with_exposed_provenance_mut::<u8>(base + offset as usize);
            for (index, &byte) in bytes.iter().enumerate() {
                // SAFETY: a byte of a frame of ours, which is never freed, and is for the host to write.
                unsafe { start.add(index).write_volatile(byte) };
            }
        }
    }
}
