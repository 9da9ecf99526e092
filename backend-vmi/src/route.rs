//! What the ROM's answer for a call means for the guest.

use core::fmt;
use core::ops::Range;

use crate::abi::call::Call;
use crate::abi::relocation::{Kind, Relocation};

/// How a call is made.
///
/// What can be called and what can only be jumped to have types of their own, so that nothing puts the
/// one where the other belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// The ROM has no such call: by the native instruction.
    Native,
    /// By CALL.
    Call(CallEntry),
    /// By JMP.
    Jump(JumpEntry),
    /// Nothing need be done.
    Nothing,
}

/// Address of code in the ROM that is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CallEntry(u32);

impl CallEntry {
    /// The virtual address.
    pub fn address(self) -> u32 {
        self.0
    }
}

/// Address of code in the ROM that is jumped to, and never called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JumpEntry(u32);

impl JumpEntry {
    /// The virtual address.
    pub fn address(self) -> u32 {
        self.0
    }
}

/// What comes back from a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Return {
    /// A value.
    Value,
    /// Nothing but the CPU.
    Plain,
    /// It does not come back.
    Never,
}

/// Where the code of calls can be: in the ROM as it is mapped, and where the ROM has reserved
/// addresses.
///
/// On 32-bit x86 a rel32 leads from everywhere to everywhere, so this is what bounds an address that
/// the ROM gives.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Virtual addresses of the ROM.
    pub rom: Range<u64>,
    /// Virtual addresses that are the ROM's own.
    pub reserved: Range<u64>,
}

impl Reach {
    fn contains(&self, address: u32) -> bool {
        let address = u64::from(address);
        self.rom.contains(&address) || self.reserved.contains(&address)
    }
}

impl Route {
    /// What `relocation`, the ROM's answer for `call`, means.
    ///
    /// # Errors
    ///
    /// If it can't be used. The native instruction is used then, but for calls that have none.
    pub fn of(call: Call, relocation: Relocation, reach: &Reach) -> Result<Self, Misfit> {
        let address = relocation.address;
        let reached = |route| match reach.contains(address) {
            true => Ok(route),
            false => Err(Misfit::Unreachable(address)),
        };
        match (relocation.kind, Return::of(call)) {
            (Kind::CALL_REL, _) => reached(Route::Call(CallEntry(address))),
            (Kind::JUMP_REL, Return::Never) => reached(Route::Jump(JumpEntry(address))),
            (Kind::JUMP_REL, _) => Err(Misfit::ReturnsNowhere),
            (Kind::NONE | Kind::NOP, Return::Never) => Err(Misfit::Missing),
            (Kind::NONE, _) => Ok(Route::Native),
            (Kind::NOP, Return::Plain) => Ok(Route::Nothing),
            (Kind::NOP, Return::Value) => Err(Misfit::GivesNoValue),
            (kind, _) => Err(Misfit::UnknownKind(kind)),
        }
    }
}

impl Return {
    fn of(call: Call) -> Self {
        match call {
            Call::IRET | Call::SYSEXIT => Return::Never,
            Call::CPUID
            | Call::RDMSR
            | Call::GET_GDT
            | Call::GET_LDT
            | Call::GET_IDT
            | Call::GET_TR
            | Call::GET_CR0
            | Call::GET_CR2
            | Call::GET_CR3
            | Call::GET_CR4
            | Call::GET_DR
            | Call::RDPMC
            | Call::RDTSC
            | Call::GET_INTERRUPT_MASK
            | Call::MACHINE_TO_PHYSICAL
            | Call::PHYSICAL_TO_MACHINE
            | Call::INL
            | Call::INB
            | Call::INW
            | Call::INSL
            | Call::INSB
            | Call::INSW
            | Call::APIC_READ
            | Call::GET_CYCLE_FREQUENCY
            | Call::GET_CYCLE_COUNTER
            | Call::CANCEL_ALARM
            | Call::GET_WALLCLOCK_TIME
            | Call::WALLCLOCK_UPDATED => Return::Value,
            _ => Return::Plain,
        }
    }
}

/// Why an answer can't be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Misfit {
    /// The guest does not know this kind of relocation.
    UnknownKind(Kind),
    /// The code is neither in the ROM nor where the ROM has reserved addresses.
    Unreachable(u32),
    /// The call returns, and the ROM's code can only be jumped to.
    ReturnsNowhere,
    /// The call has a result, and the ROM says that it need not be made.
    GivesNoValue,
    /// Only the ROM can do it, and does not.
    Missing,
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Misfit::UnknownKind(kind) => write!(formatter, "unknown relocation type {}", kind.0),
            Misfit::Unreachable(address) => {
                write!(formatter, "the code at {address:#x} is not the ROM's")
            }
            Misfit::ReturnsNowhere => formatter.write_str("a jump, for a call that returns"),
            Misfit::GivesNoValue => formatter.write_str("nothing, for a call with a result"),
            Misfit::Missing => formatter.write_str("not provided, though there is no other way"),
        }
    }
}

impl core::error::Error for Misfit {}
