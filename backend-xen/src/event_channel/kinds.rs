//! What event channels are made of, by the names of Xen's public/event_channel.h and public/xen.h.

use bitflags::bitflags;

use crate::domain::DomainId;
use crate::vcpu::VcpuId;

/// A port: this domain's end of an event channel. 0 is none.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct Port(pub u32);

/// A virtual interrupt: VIRQ_ and the name in Xen's public/xen.h.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Virq(pub u32);

impl Virq {
    /// This CPU's timer. Of each CPU.
    pub const TIMER: Self = Virq(0);
    /// The debug key was pressed. Of each CPU.
    pub const DEBUG: Self = Virq(1);
    /// Input on the console of the machine. Of dom0.
    pub const CONSOLE: Self = Virq(2);
    /// Something happened to a domain. Of dom0.
    pub const DOMAIN_EXCEPTION: Self = Virq(3);
    /// The performance counters. Of each CPU.
    pub const PERFORMANCE: Self = Virq(13);

    /// Whether each CPU has one of its own. XENPROF is 7.
    pub fn is_per_cpu(self) -> bool {
        matches!(self.0, 0 | 1 | 7 | 13)
    }
}

/// A physical interrupt, as Xen numbers those that it gives to a domain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pirq(pub u32);

bitflags! {
    /// BIND_PIRQ__ and the name.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct BindPirqFlags: u32 {
        /// Other domains may have it too.
        const WILL_SHARE = 1 << 0;
    }
}

/// A priority of the FIFO ABI, from [`HIGHEST`](Self::HIGHEST) to [`LOWEST`](Self::LOWEST).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Priority(pub u8);

impl Priority {
    /// EVTCHN_FIFO_PRIORITY_MAX.
    pub const HIGHEST: Self = Priority(0);
    /// EVTCHN_FIFO_PRIORITY_DEFAULT.
    pub const DEFAULT: Self = Priority(7);
    /// EVTCHN_FIFO_PRIORITY_MIN.
    pub const LOWEST: Self = Priority(15);
}

/// What Xen says of a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// The CPU that its events come to.
    pub vcpu: VcpuId,
    /// What it is bound to.
    pub kind: StatusKind,
}

/// What a port is bound to: EVTCHNSTAT_ and the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusKind {
    /// Nothing; it is free.
    Closed,
    /// Nothing yet; that domain may bind it.
    Unbound(DomainId),
    /// A port of a domain.
    Interdomain(DomainId, Port),
    /// A physical interrupt.
    Pirq(Pirq),
    /// A virtual interrupt.
    Virq(Virq),
    /// The CPUs of this domain.
    Ipi,
    /// What this library does not know.
    Unknown(u32),
}
