//! Access to model-specific registers that may not be there.

use crate::op::{FromRegister, RegisterPair};

/// The CPU refused an access to a model-specific register with #GP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MsrFault;

impl core::fmt::Display for MsrFault {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the model-specific register refused the access")
    }
}

impl core::error::Error for MsrFault {}

/// The outcome of a write, as an op's function returns it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[repr(transparent)]
pub struct MsrWrite(pub usize);

impl MsrWrite {
    /// The register took the value.
    pub const DONE: MsrWrite = MsrWrite(0);

    /// The outcome as a `Result`.
    ///
    /// # Errors
    ///
    /// If the CPU refused the write.
    pub fn ok(self) -> Result<(), MsrFault> {
        if self == Self::DONE {
            Ok(())
        } else {
            Err(MsrFault)
        }
    }
}

impl FromRegister for MsrWrite {
    fn from_register(register: usize) -> Self {
        MsrWrite(register)
    }
}

/// The first register is the value, the second is not 0 if the access faulted.
impl From<RegisterPair> for Result<u64, MsrFault> {
    fn from(pair: RegisterPair) -> Self {
        if pair.second == 0 {
            Ok(pair.first as u64)
        } else {
            Err(MsrFault)
        }
    }
}
