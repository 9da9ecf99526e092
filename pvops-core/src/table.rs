//! The op table: one function pointer for each op, which unpatched call sites call through.
//!
//! The one table of a kernel is the symbol `pvops_op_table`. It is not defined here but by the
//! backend whose functions are right from the first instruction: `pvops-backend-native` on real
//! machines.

use core::cell::UnsafeCell;
use core::ptr;

use crate::ops::{Bindings, NAME_TEXT, Slots};

/// The table, on pages of its own so that a kernel can map it read-only after patching.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct OpTable {
    slots: UnsafeCell<Slots>,
    /// Never read, but an image with a table has the names of the ops.
    _names: &'static [u8; NAME_TEXT.len()],
}

// SAFETY: the table is written only by `fill`, whose caller is alone, and by `set`, a word at once.
unsafe impl Sync for OpTable {}

unsafe extern "C" {
    /// Defined by exactly one crate of the kernel's.
    safe static pvops_op_table: OpTable;
}

impl OpTable {
    /// A table for `bindings`: for the one crate that defines `pvops_op_table`.
    pub const fn new(bindings: &Bindings) -> Self {
        OpTable {
            slots: UnsafeCell::new(Slots::of(bindings)),
            _names: &NAME_TEXT,
        }
    }

    /// The kernel's table, for it to map it read-only after [`install`](crate::install()). Any context.
    pub fn get() -> &'static OpTable {
        &pvops_op_table
    }

    /// Address of the slot of the op with this number.
    pub(crate) fn slot(&self, op: crate::OpNumber) -> usize {
        self.slots.get().addr() + usize::from(op.0) * size_of::<usize>()
    }

    /// Points the slot of one op to another function, at the distance `alias` from the table.
    ///
    /// # Safety
    ///
    /// `target` must be a function for that op, and the table writable at that distance.
    pub(crate) unsafe fn set(&self, op: crate::OpNumber, target: usize, alias: isize) {
        let slot = ptr::with_exposed_provenance_mut::<usize>(self.slot(op));
        // SAFETY: the caller vouches for the alias. Call sites read the slot by an instruction that
        // loads the aligned word at once, so they see the old function or the new one.
        unsafe { slot.wrapping_byte_offset(alias).write_volatile(target) };
    }

    /// Points every slot to the functions of `bindings`.
    ///
    /// # Safety
    ///
    /// No other CPU runs, and no interrupt handler uses an op meanwhile.
    pub(crate) unsafe fn fill(&self, bindings: &Bindings) {
        // SAFETY: call sites read the table by their own instructions, never by a reference, and
        // the caller says that none of them runs now.
        unsafe { self.slots.get().write_volatile(Slots::of(bindings)) };
    }
}
