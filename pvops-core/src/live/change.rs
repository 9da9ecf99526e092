//! What is to change.

use core::mem::offset_of;

use crate::binding::{Binding, ErasedBinding};
use crate::op::{Op, OpNumber};
use crate::ops::{Slots, slots};

/// A new binding for an op whose sites have been patched already; see the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct Change {
    op: OpNumber,
    binding: ErasedBinding,
}

impl Change {
    /// A change to `binding`. The ops of locks are only right together, so none of them changes:
    ///
    /// ```compile_fail,E0080
    /// use pvops_core::{inline, live::Change};
    /// Change::to(inline!(lock::wait, "hlt"));
    /// ```
    pub const fn to<O: Op>(binding: Binding<O>) -> Self {
        const { assert!(!is_of_locks(O::NUMBER), "the ops of locks never change") };
        Change {
            op: O::NUMBER,
            binding: binding.erased(),
        }
    }

    /// The op whose binding changes.
    pub fn op(&self) -> OpNumber {
        self.op
    }

    /// What it is bound to then.
    pub fn binding(&self) -> &ErasedBinding {
        &self.binding
    }
}

const fn is_of_locks(op: OpNumber) -> bool {
    let offset = op.0 as usize * size_of::<usize>();
    let first = offset_of!(Slots, lock);
    first <= offset && offset < first + size_of::<slots::lock>()
}
