//! The interrupt flag, and what waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Handles an interrupt.
pub(super) type Handler = Rc<dyn Fn()>;

/// Interrupts of one CPU. It starts with the flag off, as a kernel does.
#[derive(Default)]
pub(super) struct Interrupts {
    pub(super) is_on: bool,
    pub(super) pending: BTreeSet<u8>,
    pub(super) handlers: BTreeMap<u8, Handler>,
}

/// RFLAGS bit 9, and bit 1, which is always set. Intel SDM volume 1, section 3.4.3.
const INTERRUPTS: usize = 1 << 9;
const FIXED: usize = 1 << 1;

impl Interrupts {
    pub(super) fn flags(&self) -> usize {
        FIXED | if self.is_on { INTERRUPTS } else { 0 }
    }

    pub(super) fn set_flags(&mut self, flags: usize) {
        self.is_on = flags & INTERRUPTS != 0;
    }

    /// The interrupt that comes now, if one does: the highest vector first, as the local APIC has it
    /// (Intel SDM volume 3, section 12.8.3). Its handler begins with interrupts off.
    pub(super) fn take(&mut self) -> Option<(u8, Option<Handler>)> {
        if !self.is_on {
            return None;
        }
        let vector = self.pending.pop_last()?;
        self.is_on = false;
        Some((vector, self.handlers.get(&vector).cloned()))
    }
}
