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

/// The outcome of an access, as an op's function returns it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[repr(transparent)]
pub struct MsrAccess(pub usize);

impl MsrAccess {
    /// The register gave, or took, the value.
    pub const DONE: MsrAccess = MsrAccess(0);

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
