//! What the toolstack gives a PV domain beside its memory, as `start_info` says.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::address;
use super::start_info::StartInfo;
use super::translation::Mfn;
use crate::error::XenError;
use crate::event_channel::Port;
use crate::given_ring::GivenRing;
use crate::xenstore;

/// Notes what is there. dom0 has no such things.
pub(super) fn note(info: &StartInfo) {
    if info.flags & StartInfo::INITIAL_DOMAIN == 0 {
        STORE_FRAME.store(info.store_mfn, Ordering::Relaxed);
        STORE_PORT.store(info.store_port, Ordering::Relaxed);
    }
}

/// The ring to xenstored.
pub(crate) fn xenstore() -> Result<GivenRing<xenstore::Page>, XenError> {
    let port = Port(STORE_PORT.load(Ordering::Relaxed));
    if port.0 == 0 {
        return Err(XenError::NOT_FOUND);
    }
    let frame = Mfn(STORE_FRAME.load(Ordering::Relaxed)).own();
    let page = address::of(frame.ok_or(XenError::NOT_FOUND)?);
    let page = NonNull::new(page as *mut _).ok_or(XenError::BAD_ADDRESS)?;
    Ok(GivenRing { page, port })
}

static STORE_FRAME: AtomicU64 = AtomicU64::new(0);
static STORE_PORT: AtomicU32 = AtomicU32::new(0);
