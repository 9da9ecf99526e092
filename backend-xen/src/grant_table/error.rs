//! What Xen and the table answer to what they did not do.

use core::fmt;

use crate::error::XenError;

/// GNTST_ and the name: what Xen says of one operation on a grant. Xen's public/grant_table.h, `enum
/// grant_status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct GrantStatus(pub i16);

impl GrantStatus {
    /// Done, which is no error.
    const OKAY: Self = GrantStatus(0);
    /// Something is wrong.
    pub const GENERAL_ERROR: Self = GrantStatus(-1);
    /// There is no such domain.
    pub const BAD_DOMAIN: Self = GrantStatus(-2);
    /// The reference is not one, or not for this.
    pub const BAD_REFERENCE: Self = GrantStatus(-3);
    /// The handle is not one, or not for this.
    pub const BAD_HANDLE: Self = GrantStatus(-4);
    /// Nothing can be mapped at that address.
    pub const BAD_VIRTUAL_ADDRESS: Self = GrantStatus(-5);
    /// Nothing is mapped at that device address.
    pub const BAD_DEVICE_ADDRESS: Self = GrantStatus(-6);
    /// The I/O MMU is full.
    pub const NO_DEVICE_SPACE: Self = GrantStatus(-7);
    /// This domain may not do that.
    pub const PERMISSION_DENIED: Self = GrantStatus(-8);
    /// The frame is not fit for that.
    pub const BAD_PAGE: Self = GrantStatus(-9);
    /// The bytes to copy cross the end of a frame.
    pub const BAD_COPY_ARGUMENT: Self = GrantStatus(-10);
    /// The frame's number is too large.
    pub const ADDRESS_TOO_BIG: Self = GrantStatus(-11);
    /// Not now: the other domain's frame is paged out. Try again.
    pub const TRY_AGAIN: Self = GrantStatus(-12);
    /// No more handles are left, or the table is as large as it may be.
    pub const NO_SPACE: Self = GrantStatus(-13);
    /// Of this library, before Xen has said anything.
    pub const NOT_DONE: Self = GrantStatus(1);

    /// As a result.
    pub(super) fn check(self) -> Result<(), GrantStatus> {
        if self == Self::OKAY {
            Ok(())
        } else {
            Err(self)
        }
    }

    fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::GENERAL_ERROR => "Xen refuses the grant",
            Self::BAD_DOMAIN => "there is no such domain",
            Self::BAD_REFERENCE => "there is no such grant",
            Self::BAD_HANDLE => "there is no such mapping",
            Self::BAD_VIRTUAL_ADDRESS => "nothing can be mapped at that address",
            Self::BAD_DEVICE_ADDRESS => "nothing is mapped at that device address",
            Self::NO_DEVICE_SPACE => "the I/O MMU is full",
            Self::PERMISSION_DENIED => "this domain may not do that",
            Self::BAD_PAGE => "the frame is not fit for that",
            Self::BAD_COPY_ARGUMENT => "the bytes to copy cross the end of a frame",
            Self::ADDRESS_TOO_BIG => "the frame's number is too large",
            Self::TRY_AGAIN => "not now; try again",
            Self::NO_SPACE => "no more of these are left",
            Self::NOT_DONE => "Xen has not done it",
            _ => return None,
        })
    }
}

impl fmt::Display for GrantStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => formatter.write_str(text),
            None => write!(formatter, "Xen refuses the grant with status {}", self.0),
        }
    }
}

impl core::error::Error for GrantStatus {}

/// Why nothing was granted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The table has no form that is known here.
    UnknownVersion,
    /// Xen refuses to let the table grow.
    Xen(XenError),
    /// Xen refuses to let the table grow, in the language of grants.
    Status(GrantStatus),
    /// All references are taken, and there is no memory for more.
    NoReferences,
    /// The kernel has no frame where the table could be.
    NoFrame,
    /// [`Version::V1`](super::Version::V1) has 32 bits for the number of a frame.
    FrameTooLarge,
}

impl From<XenError> for Error {
    fn from(error: XenError) -> Self {
        Error::Xen(error)
    }
}

impl From<GrantStatus> for Error {
    fn from(status: GrantStatus) -> Self {
        Error::Status(status)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Error::UnknownVersion => "the version of the grant table is not known",
            Error::Xen(error) => return error.fmt(formatter),
            Error::Status(status) => return status.fmt(formatter),
            Error::NoReferences => "all grant references are taken",
            Error::NoFrame => "the kernel has no frame for the grant table",
            Error::FrameTooLarge => "the frame's number is too large for the grant table",
        })
    }
}

impl core::error::Error for Error {}

/// Why a grant has not ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EndError {
    /// The other domain uses the frame. Keep it, and try again later.
    StillInUse,
    /// Nothing was granted by this reference.
    NotGranted,
}

impl fmt::Display for EndError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            EndError::StillInUse => "the other domain uses the frame still",
            EndError::NotGranted => "nothing is granted by this reference",
        })
    }
}

impl core::error::Error for EndError {}
