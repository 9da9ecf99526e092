//! What Xen does to event channels when it is asked: EVTCHNOP_ and the name.
//!
//! Xen's public/event_channel.h. Any context; what comes back is not checked here.

use crate::domain::DomainId;
use crate::error::XenError;
use crate::hypercall::{self, HypercallNumber};
use crate::vcpu::VcpuId;

use super::kinds::{BindPirqFlags, Pirq, Port, Priority, Status, StatusKind, Virq};

/// EVTCHNOP_alloc_unbound: a port of `domain` that `remote` may bind to one of its own.
pub(crate) fn alloc_unbound(domain: DomainId, remote: DomainId) -> Result<Port, XenError> {
    let mut operation = AllocUnbound {
        domain: domain.0,
        remote: remote.0,
        port: 0,
    };
    call(ALLOC_UNBOUND, &mut operation)?;
    Ok(Port(operation.port))
}

/// EVTCHNOP_bind_interdomain: the other end of a port that `remote` has left unbound. It is pending
/// from the beginning.
pub(crate) fn bind_interdomain(remote: DomainId, remote_port: Port) -> Result<Port, XenError> {
    let mut operation = BindInterdomain {
        remote: remote.0,
        padding: 0,
        remote_port: remote_port.0,
        port: 0,
    };
    call(BIND_INTERDOMAIN, &mut operation)?;
    Ok(Port(operation.port))
}

/// EVTCHNOP_bind_virq. A virtual interrupt that is not one of each CPU's goes to CPU 0 at first.
pub(crate) fn bind_virq(virq: Virq, vcpu: VcpuId) -> Result<Port, XenError> {
    let mut operation = Three {
        first: virq.0,
        second: vcpu.0,
        third: 0,
    };
    call(BIND_VIRQ, &mut operation)?;
    Ok(Port(operation.third))
}

/// EVTCHNOP_bind_ipi: a port by which CPUs of this domain send to one of them.
pub(crate) fn bind_ipi(vcpu: VcpuId) -> Result<Port, XenError> {
    let mut operation = Two {
        first: vcpu.0,
        second: 0,
    };
    call(BIND_IPI, &mut operation)?;
    Ok(Port(operation.second))
}

/// EVTCHNOP_bind_pirq.
pub(crate) fn bind_pirq(pirq: Pirq, flags: BindPirqFlags) -> Result<Port, XenError> {
    let mut operation = Three {
        first: pirq.0,
        second: flags.bits(),
        third: 0,
    };
    call(BIND_PIRQ, &mut operation)?;
    Ok(Port(operation.third))
}

/// EVTCHNOP_close. Xen takes a pending event away.
pub(crate) fn close(port: Port) -> Result<(), XenError> {
    call(CLOSE, &mut { port.0 })
}

/// EVTCHNOP_send.
pub(crate) fn send(port: Port) -> Result<(), XenError> {
    call(SEND, &mut { port.0 })
}

/// EVTCHNOP_bind_vcpu: events come to that CPU from now on.
pub(crate) fn bind_vcpu(port: Port, vcpu: VcpuId) -> Result<(), XenError> {
    let mut operation = Two {
        first: port.0,
        second: vcpu.0,
    };
    call(BIND_VCPU, &mut operation)
}

/// EVTCHNOP_unmask. An event that is pending comes.
pub(crate) fn unmask(port: Port) -> Result<(), XenError> {
    call(UNMASK, &mut { port.0 })
}

/// EVTCHNOP_status.
pub(crate) fn status(port: Port) -> Result<Status, XenError> {
    let mut operation = StatusOperation {
        domain: DomainId::SELF.0,
        padding: 0,
        port: port.0,
        status: 0,
        vcpu: 0,
        detail: [0; 2],
    };
    call(STATUS, &mut operation)?;
    let [first, second] = operation.detail;
    let kind = match operation.status {
        0 => StatusKind::Closed,
        1 => StatusKind::Unbound(DomainId(first as u16)),
        2 => StatusKind::Interdomain(DomainId(first as u16), Port(second)),
        3 => StatusKind::Pirq(Pirq(first)),
        4 => StatusKind::Virq(Virq(first)),
        5 => StatusKind::Ipi,
        other => StatusKind::Unknown(other),
    };
    Ok(Status {
        vcpu: VcpuId(operation.vcpu),
        kind,
    })
}

/// EVTCHNOP_init_control: the FIFO ABI, with the control block of a CPU at `offset` into a frame.
/// Gives how many bits of an event word are the link.
///
/// # Safety
///
/// The frame is Xen's to write from now on, for good.
pub(crate) unsafe fn init_control(
    frame_number: u64,
    offset: u32,
    vcpu: VcpuId,
) -> Result<u8, XenError> {
    let mut operation = InitControl {
        frame_number,
        offset,
        vcpu: vcpu.0,
        link_bits: 0,
        padding: [0; 7],
    };
    call(INIT_CONTROL, &mut operation)?;
    Ok(operation.link_bits)
}

/// EVTCHNOP_expand_array: a frame for 1024 more event words of the FIFO ABI, all masked.
///
/// # Safety
///
/// The frame is Xen's to write from now on, for good.
pub(crate) unsafe fn expand_array(frame_number: u64) -> Result<(), XenError> {
    call(EXPAND_ARRAY, &mut { frame_number })
}

/// EVTCHNOP_set_priority, of the FIFO ABI.
pub(crate) fn set_priority(port: Port, priority: Priority) -> Result<(), XenError> {
    let mut operation = Two {
        first: port.0,
        second: u32::from(priority.0),
    };
    call(SET_PRIORITY, &mut operation)
}

const BIND_INTERDOMAIN: u32 = 0;
const BIND_VIRQ: u32 = 1;
const BIND_PIRQ: u32 = 2;
const CLOSE: u32 = 3;
const SEND: u32 = 4;
const STATUS: u32 = 5;
const ALLOC_UNBOUND: u32 = 6;
const BIND_IPI: u32 = 7;
const BIND_VCPU: u32 = 8;
const UNMASK: u32 = 9;
const INIT_CONTROL: u32 = 11;
const EXPAND_ARRAY: u32 = 12;
const SET_PRIORITY: u32 = 13;

fn call<T>(command: u32, structure: &mut T) -> Result<(), XenError> {
    // SAFETY: each function above gives the structure of its command, made of integers. A frame that
    // such a structure names is vouched for by the callers of the unsafe ones.
    unsafe { hypercall::command(HypercallNumber::EVENT_CHANNEL_OP, command, structure) }.map(drop)
}

/// `struct evtchn_alloc_unbound`.
#[repr(C)]
struct AllocUnbound {
    domain: u16,
    remote: u16,
    port: u32,
}

/// `struct evtchn_bind_interdomain`.
#[repr(C)]
struct BindInterdomain {
    remote: u16,
    padding: u16,
    remote_port: u32,
    port: u32,
}

/// `struct evtchn_bind_virq`, `evtchn_bind_pirq`.
#[repr(C)]
struct Three {
    first: u32,
    second: u32,
    third: u32,
}

/// `struct evtchn_bind_ipi`, `evtchn_bind_vcpu`, `evtchn_set_priority`.
#[repr(C)]
struct Two {
    first: u32,
    second: u32,
}

/// `struct evtchn_status`.
#[repr(C)]
struct StatusOperation {
    domain: u16,
    padding: u16,
    port: u32,
    status: u32,
    vcpu: u32,
    detail: [u32; 2],
}

/// `struct evtchn_init_control`.
#[repr(C)]
struct InitControl {
    frame_number: u64,
    offset: u32,
    vcpu: u32,
    link_bits: u8,
    padding: [u8; 7],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<AllocUnbound>() == 8 && offset_of!(AllocUnbound, port) == 4);
    assert!(size_of::<BindInterdomain>() == 12 && offset_of!(BindInterdomain, port) == 8);
    assert!(size_of::<StatusOperation>() == 24 && offset_of!(StatusOperation, detail) == 16);
    assert!(size_of::<InitControl>() == 24 && offset_of!(InitControl, link_bits) == 16);
};
