//! Event channels: Xen's interrupts.
//!
//! A channel has a port in each domain that it joins, or one alone where its events come from Xen or
//! from the domain itself. A port belongs to a CPU and has a handler: `fn(Port)`, called on that CPU
//! with interrupts off. It must not turn them on, not bind or close ports, and not stop the CPU.
//!
//! The kernel's part:
//!
//! 1. It lends a vector by [`set_vector`] before [`install`](pvops_core::install()); without one there
//!    are no events.
//! 2. The vector's handler calls [`handle_upcall`], and that only.
//! 3. From then on it binds ports. An event that was sent several times before it is handled comes once.
//!
//! Ports of a CPU that is taken down are kept for it; until it is back, their events wait, unless they
//! are [given to another](set_cpu).
//!
//! Nothing that Xen or another domain writes is trusted: an event of a port without a handler is
//! counted ([`stray_events`]) and its port masked.
//!
//! Source: Xen's public/event_channel.h.

mod abi;
#[cfg(target_arch = "x86_64")]
pub(crate) mod deferred;
mod fifo;
mod handlers;
mod kinds;
mod offline;
pub(crate) mod operations;
#[cfg(test)]
mod race;
mod two_level;
mod upcall;

/// The search for ports with events on memory of the caller's, to be measured. No part of the interface.
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod scan {
    pub use super::fifo::bench::Fifo;
    pub use super::two_level::bench::TwoLevel;
}

use pvops_core::Kernel;

use crate::domain::DomainId;
use crate::error::XenError;
use crate::vcpu::{self, VcpuId};
use abi::Abi;

pub(crate) use abi::bring_up;
pub(crate) use fifo::ControlBlock;
pub use handlers::Handler;
pub use kinds::{BindPirqFlags, Pirq, Port, Priority, Status, StatusKind, Virq};
pub(crate) use offline::go as take_down;
#[cfg(target_arch = "x86_64")]
pub(crate) use upcall::visit_all;
pub(crate) use upcall::{End, ReachedCpus, end_by, lent_vector, set_reached_cpus, stray};
pub use upcall::{handle_upcall, set_vector, stray_events};

use handlers::{Handlers, Slot};

static HANDLERS: Handlers = Handlers::new();

/// Has the two-level ABI be used, with 4096 ports and no priorities, though Xen has the FIFO ABI. Before
/// [`install`](pvops_core::install()).
pub fn want_two_level() {
    abi::want_two_level();
}

/// Whether ports can be bound: a vector was lent, and the boot CPU is up. Any context.
pub fn is_on() -> bool {
    lent_vector().is_some() && abi::chosen().is_some()
}

/// Whether the FIFO ABI is in use. Any context; `false` before the boot CPU is brought up.
pub fn is_fifo() -> bool {
    matches!(abi::chosen(), Some(Abi::Fifo))
}

/// All ports are gone, and what Xen was told of events. Xen shares its page again; no CPU runs but this one,
/// and each is then to be brought up again.
pub(crate) fn forget() {
    abi::forget();
    HANDLERS.clear();
    #[cfg(target_arch = "x86_64")]
    deferred::clear();
}

/// Has events of a virtual interrupt come to a CPU, by the kernel's number; one that is not
/// [of each CPU](Virq::is_per_cpu) comes to virtual CPU 0 first, and then to that.
///
/// Not in an interrupt handler; as all functions that bind, it takes frames from
/// [`Kernel::shared_frame`].
///
/// # Errors
///
/// [`XenError::EXISTS`] if it is bound already, [`XenError::NO_SUCH_CALL`] if the kernel has lent no
/// vector, [`XenError::NOT_FOUND`] if the CPU was not brought up, [`XenError::INVALID`] if [events come to
/// CPU 0 only](crate::hvm::Callback::comes_to_each_cpu) and it is another, [`XenError::OUT_OF_MEMORY`] if
/// there is no frame left, else what Xen says.
pub fn bind_virq(virq: Virq, cpu: usize, handler: Handler) -> Result<Port, XenError> {
    let vcpu = vcpu::id(cpu).ok_or(XenError::NOT_FOUND)?;
    if virq.is_per_cpu() {
        return bind(vcpu, handler, || operations::bind_virq(virq, vcpu));
    }
    let port = bind(FIRST, handler, || operations::bind_virq(virq, FIRST))?;
    set_cpu(port, cpu).inspect_err(|_| {
        // It was ours, so Xen takes it back.
        let _ = close(port);
    })?;
    Ok(port)
}

/// Gives a port by which CPUs of this domain [send] to one of them.
///
/// # Errors
///
/// As for [`bind_virq`].
pub fn bind_ipi(cpu: usize, handler: Handler) -> Result<Port, XenError> {
    let vcpu = vcpu::id(cpu).ok_or(XenError::NOT_FOUND)?;
    bind(vcpu, handler, || operations::bind_ipi(vcpu))
}

/// The same without a handler: the port stays masked, to be polled.
pub(crate) fn bind_masked_ipi(cpu: usize) -> Result<Port, XenError> {
    let vcpu = vcpu::id(cpu).ok_or(XenError::NOT_FOUND)?;
    let abi = abi()?;
    let kernel: &dyn Kernel = pvops_core::kernel().ok_or(XenError::NO_SUCH_CALL)?;
    let port = operations::bind_ipi(vcpu)?;
    abi.make_room(kernel, port)?;
    abi.mask(port);
    Ok(port)
}

/// Takes the event of a masked port, if there is one. Any context.
pub(crate) fn clear_masked(port: Port) {
    if let Some(abi) = abi::chosen() {
        abi.clear_pending(port);
    }
}

/// Gives a port that the domain `remote` may bind to one of its own. Events come to virtual CPU 0 at
/// first.
///
/// # Errors
///
/// As for [`bind_virq`].
pub fn bind_unbound(remote: DomainId, handler: Handler) -> Result<Port, XenError> {
    bind(FIRST, handler, || {
        operations::alloc_unbound(DomainId::SELF, remote)
    })
}

/// Binds a port of our own to a port that `remote` has left for us. Events come to virtual CPU 0 at
/// first; one comes at once, since the other side may have sent before.
///
/// # Errors
///
/// As for [`bind_virq`]; [`XenError::INVALID`] if that port is not for us.
pub fn bind_interdomain(
    remote: DomainId,
    remote_port: Port,
    handler: Handler,
) -> Result<Port, XenError> {
    bind(FIRST, handler, || {
        operations::bind_interdomain(remote, remote_port)
    })
}

/// Has events of a physical interrupt come, to virtual CPU 0 at first. A level-triggered one is masked by
/// Xen until it is told of the end, which is not done here.
///
/// # Errors
///
/// As for [`bind_virq`]; HVM guests have those only where [`HVM_PIRQS`](crate::Features::HVM_PIRQS) says
/// so.
pub fn bind_pirq(pirq: Pirq, flags: BindPirqFlags, handler: Handler) -> Result<Port, XenError> {
    bind(FIRST, handler, || operations::bind_pirq(pirq, flags))
}

/// Handles a port that this domain was given when it was built: of the console, or of xenstore. Events
/// come to virtual CPU 0 at first.
///
/// # Errors
///
/// As for [`bind_virq`].
pub fn bind_given(port: Port, handler: Handler) -> Result<(), XenError> {
    demand_upcall()?;
    take_into_use(port, FIRST, handler)
}

/// Closes a port. Not in an interrupt handler; the port's own may still be running on its CPU when this
/// returns, and what is sent meanwhile is lost.
///
/// # Errors
///
/// What Xen says, and the port is as before; [`XenError::NO_SUCH_CALL`] before events are [on](is_on).
pub fn close(port: Port) -> Result<(), XenError> {
    let abi = abi()?;
    let was_masked = abi.mask(port);
    // Before Xen can give the number to somebody else.
    let handler = HANDLERS.get(port).and_then(Slot::clear);
    operations::close(port).inspect_err(|_| {
        if let (Some(slot), Some(handler)) = (HANDLERS.get(port), handler) {
            slot.set_handler(handler);
        }
        if !was_masked {
            // What Xen says first is what is to be known.
            let _ = abi.unmask(port);
        }
    })
}

/// Sends an event to the other end of a port. Any context.
///
/// # Errors
///
/// [`XenError::INVALID`] if the port has no other end that events can be sent to.
pub fn send(port: Port) -> Result<(), XenError> {
    operations::send(port)
}

/// Keeps the events of a port until [`unmask`]. Any context; the handler may still be running on another
/// CPU. Callers see to it that no two mask and unmask a port at the same time; to take a CPU down, or to give
/// a port of one that is off to another, is to unmask all ports of that CPU that are not masked.
pub fn mask(port: Port) {
    if let Some(abi) = abi::chosen() {
        abi.mask(port);
    }
}

/// Lets the events of a port come again; one that came meanwhile comes now. Any context; a call of Xen
/// only if there is such a one.
///
/// # Errors
///
/// What Xen says; [`XenError::NO_SUCH_CALL`] before events are [on](is_on).
pub fn unmask(port: Port) -> Result<(), XenError> {
    abi()?.unmask(port)
}

/// Has the events of a port come to a CPU, by the kernel's number. Not in an interrupt handler.
///
/// # Errors
///
/// [`XenError::NOT_FOUND`] if the CPU was not brought up, or there is no such port.
/// [`XenError::INVALID`] for ports that belong to a CPU for good: of IPIs and of virtual interrupts that
/// each CPU has; and for other CPUs than 0 where
/// [events come to that only](crate::hvm::Callback::comes_to_each_cpu).
pub fn set_cpu(port: Port, cpu: usize) -> Result<(), XenError> {
    let vcpu = vcpu::id(cpu).ok_or(XenError::NOT_FOUND)?;
    if !upcall::is_reached(vcpu) {
        return Err(XenError::INVALID);
    }
    let slot = HANDLERS.get(port).ok_or(XenError::NOT_FOUND)?;
    let abi = abi()?;
    // Unmasking announces an event anew that was announced to the CPU of before, which leaves it now.
    let was_masked = abi.mask(port);
    let result = operations::bind_vcpu(port, vcpu);
    if result.is_ok() {
        let before = slot.vcpu();
        slot.set_vcpu(vcpu);
        offline::empty_queues(before);
    }
    if !was_masked {
        abi.unmask(port)?;
    }
    result
}

/// Has events of a port come before or after those of others of the same CPU. Any context.
///
/// # Errors
///
/// [`XenError::NO_SUCH_CALL`] in the two-level ABI, which has no priorities.
pub fn set_priority(port: Port, priority: Priority) -> Result<(), XenError> {
    match abi()? {
        Abi::Fifo => operations::set_priority(port, priority),
        Abi::TwoLevel(_) => Err(XenError::NO_SUCH_CALL),
    }
}

/// What a port is bound to. Any context.
///
/// # Errors
///
/// [`XenError::INVALID`] if there is no such port.
pub fn status(port: Port) -> Result<Status, XenError> {
    operations::status(port)
}

/// The CPU that Xen gives events to of which nobody has said more.
const FIRST: VcpuId = VcpuId(0);

fn abi() -> Result<&'static Abi, XenError> {
    abi::chosen().ok_or(XenError::NO_SUCH_CALL)
}

/// An error if nobody would call a handler.
fn demand_upcall() -> Result<(), XenError> {
    is_on().then_some(()).ok_or(XenError::NO_SUCH_CALL)
}

/// Takes a port from Xen and into use.
fn bind(
    vcpu: VcpuId,
    handler: Handler,
    operation: impl FnOnce() -> Result<Port, XenError>,
) -> Result<Port, XenError> {
    demand_upcall()?;
    bind_without_upcall(vcpu, handler, operation)
}

/// The same for ports of a PV guest whose events need no vector of the kernel's.
pub(crate) fn bind_without_upcall(
    vcpu: VcpuId,
    handler: Handler,
    operation: impl FnOnce() -> Result<Port, XenError>,
) -> Result<Port, XenError> {
    abi()?;
    if !upcall::is_reached(vcpu) {
        return Err(XenError::INVALID);
    }
    let port = operation()?;
    take_into_use(port, vcpu, handler).inspect_err(|_| {
        // It was ours, so Xen takes it back.
        let _ = operations::close(port);
    })?;
    Ok(port)
}

fn take_into_use(port: Port, vcpu: VcpuId, handler: Handler) -> Result<(), XenError> {
    let abi = abi()?;
    let kernel: &dyn Kernel = pvops_core::kernel().ok_or(XenError::NO_SUCH_CALL)?;
    abi.make_room(kernel, port)?;
    let slot = HANDLERS.make(kernel, port).ok_or(XenError::OUT_OF_MEMORY)?;
    slot.set(vcpu, handler);
    abi.unmask(port)
}
