//! The page that the kernel shares with xenstored. Xen's public/io/xs_wire.h and
//! docs/misc/xenstore-ring.txt.

use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32};

const RING_SIZE: usize = 1024;

/// `struct xenstore_domain_interface`, what the page begins with. It need not hold anything valid.
#[repr(C)]
pub struct Page {
    pub(super) requests: [AtomicU8; RING_SIZE],
    pub(super) responses: [AtomicU8; RING_SIZE],
    pub(super) requests_consumed: AtomicU32,
    pub(super) requests_produced: AtomicU32,
    pub(super) responses_consumed: AtomicU32,
    pub(super) responses_produced: AtomicU32,
    pub(super) server_features: AtomicU32,
    pub(super) connection: AtomicU32,
    pub(super) error: AtomicU32,
}

impl fmt::Debug for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Page").finish_non_exhaustive()
    }
}

/// XENSTORE_SERVER_FEATURE_RECONNECTION.
pub(super) const RECONNECTION: u32 = 1 << 0;
/// XENSTORE_SERVER_FEATURE_ERROR: the field `error` is there.
pub(super) const ERROR_FIELD: u32 = 1 << 1;

/// XENSTORE_CONNECTED.
pub(super) const CONNECTED: u32 = 0;
/// XENSTORE_RECONNECT: in progress. Only the guest sets it, only xenstored takes it away.
pub(super) const RECONNECT: u32 = 1;

const _: () = {
    assert!(offset_of!(Page, requests) == 0);
    assert!(offset_of!(Page, responses) == 1024);
    assert!(offset_of!(Page, requests_consumed) == 2048);
    assert!(offset_of!(Page, requests_produced) == 2052);
    assert!(offset_of!(Page, responses_consumed) == 2056);
    assert!(offset_of!(Page, responses_produced) == 2060);
    assert!(offset_of!(Page, server_features) == 2064);
    assert!(offset_of!(Page, connection) == 2068);
    assert!(offset_of!(Page, error) == 2072);
};
