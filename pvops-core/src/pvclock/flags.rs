//! What a host says of its clock beside the numbers.

bitflags::bitflags! {
    /// The `flags` byte of a [`TimeInfo`](super::TimeInfo).
    ///
    /// Host-written, so every bit pattern is a value of this type; unknown bits
    /// are kept. Source: `PVCLOCK_*` in Linux
    /// `arch/x86/include/asm/pvclock-abi.h`, `XEN_PVCLOCK_*` in Xen
    /// `xen/include/public/xen.h`.
    #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
    pub struct Flags: u8 {
        /// Readings of different CPUs are comparable, so no CPU sees time go
        /// back. A KVM guest may believe it only if the host also offers
        /// KVM_FEATURE_CLOCKSOURCE_STABLE.
        const TSC_STABLE = 1 << 0;
        /// The host stopped this CPU for a while, and the guest has not
        /// acknowledged it.
        const GUEST_STOPPED = 1 << 1;
        /// The clock stood at zero when the guest started.
        const COUNTS_FROM_ZERO = 1 << 2;

        const _ = !0;
    }
}
