//! Modules are files that the loader put into memory beside the kernel.

use core::fmt;
use core::ops::Range;

use super::{BootInfoError, CommandLine};

/// One file that the loader put into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Module<'m> {
    start: u64,
    end: u64,
    command_line: CommandLine<'m>,
}

impl<'m> Module<'m> {
    /// Its bytes, by physical address. Unchecked: they need not be RAM.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// Its length in bytes.
    pub fn length_bytes(&self) -> u64 {
        self.end - self.start
    }

    /// The text given with it, often its name; empty if there is none.
    pub fn command_line(&self) -> CommandLine<'m> {
        self.command_line
    }
}

/// The greatest number of modules that is kept.
pub(super) const CAPACITY: usize = 16;

/// The modules that there is room for.
#[derive(Clone, Default)]
pub(super) struct Modules<'m> {
    modules: [Module<'m>; CAPACITY],
    found: u32,
}

impl<'m> Modules<'m> {
    pub(super) fn as_slice(&self) -> &[Module<'m>] {
        &self.modules[..self.kept()]
    }

    pub(super) fn dropped(&self) -> u32 {
        self.found - self.kept() as u32
    }

    /// Adds a module, or counts it if there is no room.
    pub(super) fn push(
        &mut self,
        start: u64,
        end: Option<u64>,
        command_line: CommandLine<'m>,
    ) -> Result<(), BootInfoError> {
        let index = self.found;
        let end = end
            .filter(|&end| end >= start)
            .ok_or(BootInfoError::BadModule { index })?;
        if let Some(slot) = self.modules.get_mut(index as usize) {
            *slot = Module {
                start,
                end,
                command_line,
            };
        }
        self.found = self.found.saturating_add(1);
        Ok(())
    }

    /// Counts modules that were not even looked at.
    pub(super) fn drop_rest(&mut self, count: u32) {
        self.found = self.found.saturating_add(count);
    }

    fn kept(&self) -> usize {
        (self.found as usize).min(CAPACITY)
    }
}

impl fmt::Debug for Modules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}
