//! Access to model-specific registers that may not be there.

use crate::op::FromRegister;

/// The CPU refused an access to a model-specific register with #GP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MsrFault;

impl core::fmt::Display for MsrFault {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the model-specific register refused the access")
    }
}

impl core::error::Error for MsrFault {}

/// The outcome of an access, as a backend's function for
/// [`cpu::read_msr_safe`](fn@crate::cpu::read_msr_safe) or
/// [`cpu::write_msr_safe`](fn@crate::cpu::write_msr_safe) returns it: 0 if it was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[repr(transparent)]
pub struct MsrAccess(usize);

impl MsrAccess {
    /// The register gave, or took, the value.
    pub const DONE: MsrAccess = MsrAccess(0);
    /// The register does not exist, or did not take the value.
    pub const REFUSED: MsrAccess = MsrAccess(1);

    /// The outcome as a `Result`.
    ///
    /// # Errors
    ///
    /// If the CPU refused the access.
    pub fn ok(self) -> Result<(), MsrFault> {
        if self == Self::DONE {
            Ok(())
        } else {
            Err(MsrFault)
        }
    }
}

impl FromRegister for MsrAccess {
    fn from_register(register: u64) -> Self {
        MsrAccess(register as usize)
    }
}
