//! The 32-bit kernel with option ROMs that say they speak VMI: the good one, and ones with a fault.

use super::setting::*;
use super::{Scenario, table::NATIVE32};

/// Told to count calls, which the kernel looks at.
pub(super) const VMI: Scenario = Scenario {
    name: "vmi",
    host: "TCG with the VMI ROM, 32-bit",
    cpus: &[1, 2],
    roms: &["vmi"],
    backend: Some("vmi"),
    prepare: |_| Ok(vmi(COUNTING_ROM)),
    ..NATIVE32
};

/// A ROM without time calls is a good one.
pub(super) const NO_TIMER: Scenario = Scenario {
    name: "vmi-no-timer",
    prepare: |_| Ok(vmi(ROM_WITHOUT_TIMER)),
    ..VMI
};

/// The kernel with these ROMs, which has to come up by that backend.
pub(super) const fn with(
    name: &'static str,
    roms: &'static [&'static str],
    backend: &'static str,
) -> Scenario {
    Scenario {
        name,
        cpus: &[1],
        roms,
        backend: Some(backend),
        cmdline: "only=irq.flags,tasks.wild",
        prepare: |_| Ok(vmi(PLAIN_ROM)),
        ..VMI
    }
}
