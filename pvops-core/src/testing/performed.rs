//! What code under test has had its CPU do.

use std::fmt;
use std::vec::Vec;

use crate::cpu_start::StartStatus;
use crate::event::EventStatus;
use crate::msr::MsrAccess;
use crate::op::{Op, OpNumber};

/// An op that a simulated CPU has performed.
///
/// It is shown as it could have been written: `cpu.write_msr(0x1b, 0xfee00900)`, or with a result
/// `irq.save_flags() = 0x200`; and can be compared with such a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Performed {
    op: OpNumber,
    operands: Vec<u64>,
    result: Option<u64>,
}

impl Performed {
    pub(super) fn new(op: OpNumber, operands: &[u64], result: &impl Operand) -> Self {
        Performed {
            op,
            operands: operands.to_vec(),
            result: result.as_word(),
        }
    }

    /// Whether it is the op `O`, as in `performed.is::<op::irq::disable>()`.
    pub fn is<O: Op>(&self) -> bool {
        self.op == O::NUMBER
    }

    /// The op.
    pub fn op(&self) -> OpNumber {
        self.op
    }

    /// Its arguments in their order; pointers as addresses. Of a hypercall the number in the first
    /// register.
    pub fn operands(&self) -> &[u64] {
        &self.operands
    }

    /// What it gave back; `None` if the op has no result, or one of several registers. Of
    /// `cpu.read_msr_safe` and `cpu.write_msr_safe` 0, or 1 where the register refused.
    pub fn result(&self) -> Option<u64> {
        self.result
    }
}

impl fmt::Display for Performed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}(", self.op)?;
        for (position, operand) in self.operands.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(formatter, "{comma}{operand:#x}")?;
        }
        formatter.write_str(")")?;
        match self.result {
            Some(result) => write!(formatter, " = {result:#x}"),
            None => Ok(()),
        }
    }
}

impl PartialEq<&str> for Performed {
    fn eq(&self, text: &&str) -> bool {
        std::string::ToString::to_string(self) == *text
    }
}

/// What an op takes or gives, as a number.
pub(super) trait Operand {
    fn as_word(&self) -> Option<u64>;
}

macro_rules! operands {
    ($($type:ty: |$value:ident| $word:expr;)*) => {
        $(impl Operand for $type {
            fn as_word(&self) -> Option<u64> {
                let $value = *self;
                $word
            }
        })*
    };
}

operands! {
    (): |_none| None;
    bool: |value| Some(value.into());
    u8: |value| Some(value.into());
    u16: |value| Some(value.into());
    u32: |value| Some(value.into());
    u64: |value| Some(value);
    usize: |value| Some(value as u64);
    EventStatus: |value| Some(value.0 as u64);
    StartStatus: |value| Some(value.0 as u64);
    MsrAccess: |value| Some(value.ok().is_err().into());
}

impl<T> Operand for *const T {
    fn as_word(&self) -> Option<u64> {
        Some(self.addr() as u64)
    }
}

impl<T> Operand for *mut T {
    fn as_word(&self) -> Option<u64> {
        Some(self.addr() as u64)
    }
}
