//! Which domain.

use core::fmt;

/// Number of a domain, or one of those with a meaning. Xen's public/xen.h, DOMID_.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The first domain, which commonly has the devices.
    pub const DOM0: Self = DomainId(0);
    /// This domain.
    pub const SELF: Self = DomainId(0x7ff0);
    /// The owner of device memory.
    pub const IO: Self = DomainId(0x7ff1);
    /// Xen itself.
    pub const XEN: Self = DomainId(0x7ff2);
    /// None.
    pub const INVALID: Self = DomainId(0x7ff4);
}

impl fmt::Display for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
