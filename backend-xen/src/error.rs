//! What Xen answers to a call that it did not do.

use core::fmt;

/// XEN_E and the name, as a positive number. Xen's public/errno.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct XenError(pub u64);

/// The constant and the text of each error that a guest may meet.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal: $text:literal;)*) => {
        impl XenError {
            $($(#[$doc])* pub const $name: Self = XenError($code);)*

            fn text(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

errors! {
    /// EPERM.
    NOT_PERMITTED = 1: "this domain may not do that";
    /// ENOENT.
    NOT_FOUND = 2: "there is no such thing";
    /// ESRCH.
    NO_SUCH_DOMAIN = 3: "there is no such domain";
    /// EIO.
    INPUT_OUTPUT = 5: "the device failed";
    /// ENXIO.
    NO_SUCH_DEVICE_OR_ADDRESS = 6: "there is no such device or address";
    /// E2BIG.
    TOO_BIG = 7: "an argument is too long";
    /// EBADF.
    BAD_HANDLE = 9: "the handle is wrong";
    /// EAGAIN.
    TRY_AGAIN = 11: "not now; try again";
    /// ENOMEM.
    OUT_OF_MEMORY = 12: "Xen is out of memory";
    /// EACCES.
    ACCESS_DENIED = 13: "access is denied";
    /// EFAULT.
    BAD_ADDRESS = 14: "an argument leads to no memory";
    /// EBUSY.
    BUSY = 16: "it is in use";
    /// EEXIST.
    EXISTS = 17: "it exists already";
    /// ENODEV.
    NO_SUCH_DEVICE = 19: "there is no such device";
    /// EISDIR.
    IS_A_DIRECTORY = 21: "it is a directory";
    /// EINVAL.
    INVALID = 22: "an argument is wrong";
    /// ENOSPC.
    NO_SPACE = 28: "no more of these are left";
    /// EROFS.
    READ_ONLY = 30: "it can only be read";
    /// ERANGE.
    OUT_OF_RANGE = 34: "an argument is out of range";
    /// ENOSYS.
    NO_SUCH_CALL = 38: "Xen has no such call";
    /// ENOTEMPTY.
    NOT_EMPTY = 39: "it is not empty";
    /// ETIME.
    IN_THE_PAST = 62: "the time has passed already";
    /// EOPNOTSUPP.
    UNSUPPORTED = 95: "Xen does not support that for this domain";
    /// EISCONN.
    IS_CONNECTED = 106: "it is connected already";
}

impl fmt::Display for XenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => formatter.write_str(text),
            None => write!(formatter, "Xen refused with error {}", self.0),
        }
    }
}

impl core::error::Error for XenError {}
