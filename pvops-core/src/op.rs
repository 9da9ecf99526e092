//! What an op is, in types.
//!
//! Every op of the declaration (src/ops.rs) has a marker type under [`crate::op`], which never has
//! a value. Slots, bindings and thunks carry the marker, so that the code for one op can't be put
//! where another op is called.

pub use crate::ops::op::*;

use core::fmt;
use core::marker::PhantomData;

/// A function whose signature has been erased; only good for being called by a call site.
pub type ErasedFunction = unsafe extern "C" fn();

/// One privileged operation.
///
/// # Safety
///
/// Implemented by the declaration only: `NUMBER` must be the op's position in the table, and
/// `Function` what the op's call sites call.
pub unsafe trait Op {
    /// Position of the op's slot in the table.
    const NUMBER: OpNumber;
    /// Length of the op's call sites, in bytes.
    const SITE_LENGTH: u8;
    /// How many words its arguments have as a function, each as long as a register.
    const ARGUMENT_WORDS: usize;
    /// Where the op's operands are, see [`crate::arch::shape`].
    const SHAPE: u32;
    /// The op as a function of the C ABI.
    type Function: Copy;
}

/// The op's shape; only compiles for a function of the op's type.
#[doc(hidden)]
pub const fn shape_for<O: Op>(_function: O::Function) -> u32 {
    O::SHAPE
}

/// An op whose call sites follow the C ABI.
///
/// # Safety
///
/// Implemented by the declaration only, for ops whose sites clobber what the C ABI lets a callee
/// clobber.
pub unsafe trait COp: Op {}

/// An op whose call sites lose only the registers that its [shape](crate::arch::shape) names.
///
/// # Safety
///
/// Implemented by the declaration only, for ops of a preserve shape.
pub unsafe trait PreserveOp: Op {}

/// An op that never returns, whose sites may therefore hold a jump.
///
/// # Safety
///
/// Implemented by the declaration only, for ops of the exit shapes.
pub unsafe trait ExitOp: Op {}

/// An op without a result, which a backend may therefore leave out altogether.
///
/// # Safety
///
/// Implemented by the declaration only, for ops that return nothing.
pub unsafe trait NoResult: Op {}

/// Position of an op in the table, and the key of its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OpNumber(pub u16);

impl OpNumber {
    /// The op's name, `group.op`, or `None` for a number that no op has.
    pub fn name(self) -> Option<&'static str> {
        crate::ops::names().nth(usize::from(self.0))
    }
}

impl fmt::Display for OpNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "op {}", self.0),
        }
    }
}

/// The table's entry for the op `O`: where a call site that is not patched yet goes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Slot<O: Op> {
    target: ErasedFunction,
    op: PhantomData<fn(O)>,
}

impl<O: Op> Slot<O> {
    /// The slot that the binding's function fills.
    pub(crate) const fn of(binding: &crate::binding::Binding<O>) -> Self {
        Slot {
            target: binding.target(),
            op: PhantomData,
        }
    }
}

impl<O: Op> fmt::Debug for Slot<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {:p}", O::NUMBER, self.target)
    }
}

/// What an op can return: a value of up to 64 bits.
pub(crate) trait FromRegister {
    /// Takes the value out of the register, or pair of registers, that a result is in; bits above the
    /// value's width have no meaning.
    fn from_register(register: u64) -> Self;
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl FromRegister for $integer {
            fn from_register(register: u64) -> Self {
                register as $integer
            }
        })*
    };
}

integers!(usize, u64, u32, u16, u8);

impl FromRegister for bool {
    fn from_register(register: u64) -> Self {
        register as u8 != 0
    }
}
