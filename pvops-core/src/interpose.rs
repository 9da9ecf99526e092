//! What comes between backends and the op table.

use spin::Once;

use crate::ops::Bindings;

static CHANGE: Once<fn(Bindings) -> Bindings> = Once::new();

/// Has what is bound from now on pass through `change` first, before
/// [`install`](crate::install()) as in it: to hear what a kernel and its host say to each other, or to put
/// a simulated machine beneath a backend. The first call counts.
///
/// On the boot CPU, before anything is installed.
///
/// # Safety
///
/// As of [`use_before_install`](crate::use_before_install), for what `change` makes of any backend's bindings.
pub unsafe fn interpose(change: fn(Bindings) -> Bindings) {
    CHANGE.call_once(|| change);
}

/// The bindings as they come into use.
pub(crate) fn interposed(bindings: Bindings) -> Bindings {
    match CHANGE.get() {
        Some(change) => change(bindings),
        None => bindings,
    }
}
