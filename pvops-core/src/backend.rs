//! Backends, and the choice of one.

use core::fmt;

use crate::kernel::Kernel;
use crate::ops::Bindings;
use crate::probe::{Interface, Interfaces, Signature};

/// How to run on one kind of host: a `static` of a backend's crate, for [`install`](crate::install()).
#[derive(Debug)]
pub struct Backend {
    /// What `pv=` on the command line calls it, and reports.
    pub name: &'static str,
    /// The interface that this backend speaks, as CPUID announces it; `None` for one that needs no
    /// hypervisor.
    pub signature: Option<Signature>,
    /// Readies what the ops need on this host and says what is done for each op.
    ///
    /// Called by [`install`](crate::install()), on the boot CPU, interrupts off, before anything is patched;
    /// once, unless it fails. It must not ask for what is [`installed`](crate::installed).
    pub bind: fn(&Host<'_>) -> Result<Bindings, BindError>,
    /// Readies what the ops need on a CPU that has just started, or goes on after the machine was
    /// suspended.
    ///
    /// Called on each CPU, the boot CPU included, interrupts off, after patching.
    pub bring_up_cpu: fn(&Host<'_>) -> Result<(), BindError>,
    /// Leaves nothing behind on a CPU that is about to stop: what the host writes for it, it writes
    /// no more.
    ///
    /// Called on that CPU, interrupts off, after which the CPU runs no op but `irq.halt`.
    pub take_down_cpu: fn(&Host<'_>),
}

/// What a backend learns of the host that it is to run on.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The kernel that uses the library.
    pub kernel: &'a dyn Kernel,
    /// The backend's interface, if it has one and the host offers it.
    pub interface: Option<&'a Interface>,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Host")
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}

/// Chooses the backend: the one named, or the one whose interface has the highest CPUID base, or
/// the first that needs no interface.
///
/// The highest base, because a hypervisor that shows the facade of another moves its own interface
/// up, and its own is the better one.
///
/// # Errors
///
/// If `name` is none of the backends, or no backend fits.
pub fn select<'a>(
    backends: &[&'a Backend],
    interfaces: &Interfaces,
    name: Option<&str>,
) -> Result<&'a Backend, SelectError> {
    if let Some(name) = name {
        return backends
            .iter()
            .find(|backend| backend.name == name)
            .copied()
            .ok_or(SelectError::UnknownName);
    }
    backends
        .iter()
        .filter_map(|&backend| match backend.signature {
            None => Some((0, backend)),
            Some(signature) => Some((interfaces.find(&signature)?.base(), backend)),
        })
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, backend)| backend)
        .ok_or(SelectError::NoneFits)
}

/// Why no backend was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SelectError {
    /// No backend of this kernel has the name that was asked for.
    UnknownName,
    /// No backend of this kernel fits the host.
    NoneFits,
}

impl fmt::Display for SelectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SelectError::UnknownName => "no backend of this kernel has that name",
            SelectError::NoneFits => "no backend of this kernel fits this host",
        })
    }
}

impl core::error::Error for SelectError {}

/// Why a backend can't run on this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BindError(
    /// What is missing.
    pub &'static str,
);

impl fmt::Display for BindError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl core::error::Error for BindError {}
