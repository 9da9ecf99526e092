//! All that this kernel does with privilege, once by the crate `x86_64` and once by ops: compare the two files.

#[cfg(not(feature = "before"))]
mod after;
#[cfg(feature = "before")]
mod before;

#[cfg(not(feature = "before"))]
pub(crate) use after::*;
#[cfg(feature = "before")]
pub(crate) use before::*;
