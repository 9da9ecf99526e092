//! The op table of a test's process.

use std::sync::Once;

use super::ops;

/// Has every op lead to the simulated CPUs, unless a backend was installed.
pub(super) fn fill() {
    static FILLED: Once = Once::new();
    FILLED.call_once(|| {
        if crate::installed().is_none() {
            // SAFETY: threads use ops only once they are CPUs, which comes after this. The functions
            // need nothing of this machine.
            unsafe { crate::use_before_install(&ops::BINDINGS) };
        }
    });
}
