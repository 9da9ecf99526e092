//! What the user asks of the ROM: words in a file for the firmware.

use super::fw_cfg;

const FILE: &[u8] = b"opt/org.pvops/vmi-rom";
const MAX_BYTES: usize = 64;

/// The words that were found.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// `kvm`: use KVM if it is there.
    pub(super) kvm: bool,
    /// `count`: count calls.
    pub(super) count: bool,
    /// `no-timer`: there are no time calls.
    pub(super) no_timer: bool,
    /// `no-lazy`: there is no SetLazyMode.
    pub(super) no_lazy: bool,
}

impl Settings {
    pub(super) fn read() -> Self {
        let text: [u8; MAX_BYTES] = fw_cfg::read(FILE).unwrap_or([0; MAX_BYTES]);
        let has = |wanted: &[u8]| {
            text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
                .any(|word| word == wanted)
        };
        Self {
            kvm: has(b"kvm"),
            count: has(b"count"),
            no_timer: has(b"no-timer"),
            no_lazy: has(b"no-lazy"),
        }
    }
}
