//! Port instructions of a PV guest: who may execute them. Xen does them, to ports that the domain may use;
//! others read as ones.
//!
//! Xen's public/physdev.h. All of this is of one virtual CPU: the one that asks.

use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};

/// Who may access all ports of the domain on this CPU.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PortAccess {
    /// Nobody, but by the [bitmap](set_port_bitmap).
    Nobody = 0,
    /// The kernel. So it is on each CPU that was brought up.
    Kernel = 1,
    /// The kernel and programs.
    Programs = 3,
}

/// Says who may access ports on this CPU; for others an access is a #GP. PHYSDEVOP_set_iopl. Any context.
///
/// # Errors
///
/// What Xen says.
///
/// # Safety
///
/// Whoever is let may use all ports of the domain.
pub unsafe fn set_port_access(access: PortAccess) -> Result<(), XenError> {
    const SET_IOPL: u32 = 6;
    // SAFETY: the structure is the command's, one word; as the caller vouches.
    unsafe { call(SET_IOPL, &mut (access as u32)) }
}

/// Lets the kernel and programs access ports on this CPU whatever [`PortAccess`] says: those whose bit is 0,
/// from port 0 on. An empty bitmap allows none. PHYSDEVOP_set_iobitmap. Any context.
///
/// # Errors
///
/// [`XenError::INVALID`] if there are bits for more than 65,536 ports.
///
/// # Safety
///
/// Programs that run on this CPU may use the ports whose bit is 0.
pub unsafe fn set_port_bitmap(bitmap: &'static [u8]) -> Result<(), XenError> {
    const SET_IO_BITMAP: u32 = 7;
    let ports = bitmap.len().checked_mul(8).ok_or(XenError::INVALID)?;
    let mut operation = SetIoBitmap {
        bitmap: bitmap.as_ptr().expose_provenance() as u64,
        ports: u32::try_from(ports).map_err(|_| XenError::INVALID)?,
        padding: 0,
    };
    // SAFETY: the structure is the command's; Xen only reads the bitmap, which stays; as the caller vouches.
    unsafe { call(SET_IO_BITMAP, &mut operation) }
}

/// # Safety
///
/// The structure is the command's.
unsafe fn call<T>(command: u32, structure: &mut T) -> Result<(), XenError> {
    // SAFETY: as the caller vouches.
    unsafe { hypercall::command(HypercallNumber::PHYSDEV_OP, command, structure) }.map(drop)
}

/// `struct physdev_set_iobitmap`.
#[repr(C)]
struct SetIoBitmap {
    bitmap: u64,
    ports: u32,
    padding: u32,
}
