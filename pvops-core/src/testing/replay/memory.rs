//! Memory that a host reads and writes: structures of hypercalls, and shared frames.

use std::format;
use std::vec::Vec;

use crate::testing::hypercall::HypercallRegisters;
use crate::testing::recording::{Argument, FRAME, HostWrite, Place, Value, Word};
use crate::testing::state::State;

/// A structure that an argument leads to.
pub(super) struct Structure<'a> {
    pub(super) register: &'a str,
    address: usize,
    /// What is recorded of it.
    pub(super) words: &'a [Word],
}

/// Those of a call.
pub(super) fn structures<'a>(
    arguments: &'a [Argument],
    call: &HypercallRegisters,
) -> Vec<Structure<'a>> {
    let structure = |argument: &'a Argument| match &argument.value {
        Value::Structure(words) => Some(Structure {
            register: &argument.register,
            address: call.register(&argument.register)?,
            words,
        }),
        Value::Word(_) => None,
    };
    arguments.iter().filter_map(structure).collect()
}

impl Structure<'_> {
    /// One of its words; `None` if the argument is null.
    ///
    /// # Safety
    ///
    /// If it is not, a structure of as many words is there.
    pub(super) unsafe fn read(&self, index: usize) -> Option<u64> {
        let start = std::ptr::with_exposed_provenance::<u64>(self.address);
        // SAFETY: as the caller says.
        (!start.is_null()).then(|| unsafe { start.add(index).read_unaligned() })
    }
}

impl State {
    /// Writes what the host has written then.
    pub(super) fn write_as_host(&mut self, memory: &[HostWrite], structures: &[Structure<'_>]) {
        for HostWrite { place, bytes } in memory {
            let (base, offset, length) = match place {
                Place::Frame { frame, offset } => {
                    (self.frames.get(*frame).copied(), *offset, FRAME as usize)
                }
                Place::Argument { register, offset } => {
                    let found = structures.iter().find(|found| found.register == register);
                    let length = found.map_or(0, |found| found.words.len() * size_of::<u64>());
                    (found.map(|found| found.address), *offset, length)
                }
            };
            let (Some(base), true) = (base, bytes.len() <= length.saturating_sub(offset)) else {
                self.fail(format!(
                    "{place:x?} is in no frame that was asked for, and in no argument"
                ));
                return;
            };
            let start = std::ptr::with_exposed_provenance_mut::<u8>(base + offset);
            for (index, &byte) in bytes.iter().enumerate() {
                // SAFETY: a byte of a frame of ours, which is never freed, or of the structure that the call
                // takes; both are for the host to write.
                unsafe { start.add(index).write_volatile(byte) };
            }
        }
    }
}
