//! Hypercalls, which must be those of the recording.

use std::format;
use std::string::String;

use super::memory::{Structure, structures};
use crate::testing::hypercall::HypercallRegisters;
use crate::testing::recording::{Argument, Value, What, Word};
use crate::testing::state::State;

impl State {
    /// The result of a call, if it is the one that comes next.
    pub(in crate::testing) fn replay_hypercall(&mut self, call: &HypercallRegisters) -> u64 {
        let made = format!("hypercall {:#x}", call.number());
        let Some(told) = self.next_told(&made) else {
            return REFUSED;
        };
        let (arguments, result) = match told.what {
            What::Hypercall {
                number,
                arguments,
                result,
            } if number == call.number() as u64 => (arguments, result),
            other => {
                self.fail(format!("{made}, where {other} is recorded"));
                return REFUSED;
            }
        };
        if let Err(difference) = self.compare(&arguments, call) {
            self.fail(format!("{made}: {difference}"));
            return REFUSED;
        }
        self.write_as_host(&told.memory, &structures(&arguments, call));
        result
    }

    /// Whether the call has the recorded arguments, in registers and in memory. Plain ones come first: they
    /// say what the others lead to.
    fn compare(&self, arguments: &[Argument], call: &HypercallRegisters) -> Result<(), String> {
        for Argument { register, value } in arguments {
            if let Value::Word(recorded) = value {
                let found = call.register(register).map(|found| found as u64);
                self.compare_word(register, found, *recorded)?;
            }
        }
        for structure in structures(arguments, call) {
            let Structure {
                register, words, ..
            } = structure;
            for (index, &recorded) in words.iter().enumerate() {
                // SAFETY: the call takes a structure of so many words, as its number and command are those of
                // the recording.
                let found = unsafe { structure.read(index) };
                let offset = index * size_of::<u64>();
                self.compare_word(&format!("{register}+{offset:#x}"), found, recorded)?;
            }
        }
        Ok(())
    }

    fn compare_word(&self, place: &str, found: Option<u64>, recorded: Word) -> Result<(), String> {
        if found.is_some() && found == recorded.at(&self.frames) {
            return Ok(());
        }
        let found = found.map_or("not there".into(), |found| format!("{found:#x}"));
        Err(format!("{place} is {found}, where {recorded} is recorded"))
    }
}

/// What a call gives that fails the test: all hosts have an error for it.
const REFUSED: u64 = u64::MAX;
