//! Installing a backend: fill the table, patch every call site, once.

use core::fmt;

use spin::{Mutex, Once};

use crate::backend::{Backend, BindError, Host};
use crate::binding::ErasedBinding;
use crate::interpose::interposed;
use crate::kernel::Kernel;
use crate::live::Change;
use crate::lock;
use crate::op::OpNumber;
use crate::ops::Bindings;
use crate::patch::{self, Counts, PatchError};
use crate::probe::{Interface, Interfaces};
use crate::site::image_sites;
use crate::table::OpTable;

static INSTALLED: Once<Installation> = Once::new();

struct Installation {
    backend: &'static Backend,
    kernel: &'static dyn Kernel,
    interface: Option<Interface>,
}

impl Installation {
    fn host(&self) -> Host<'_> {
        Host {
            kernel: self.kernel,
            interface: self.interface.as_ref(),
        }
    }
}

/// Locked for no longer than a copy takes, or `install`.
static BINDINGS: Mutex<Option<Bindings>> = Mutex::new(None);

/// Binds the ops to what `backend` does for them and patches all call sites of the image; says how many
/// became what.
///
/// Afterwards the [op table](OpTable) and the text do not change any more, but for
/// [live patching](crate::live); a kernel that can maps them read-only.
///
/// # Errors
///
/// If the backend can't run here, or a site can't be patched: then neither the table nor any site
/// has changed, and another backend may be installed. If a backend is installed already.
///
/// After [`PatchError::NotWritten`] the backend is installed all the same: the kernel's window does not
/// lead to the text, so some sites go on to call through the table, which has the backend's functions.
///
/// # Safety
///
/// Call it on the boot CPU, with interrupts off, while no other CPU runs.
pub unsafe fn install(
    backend: &'static Backend,
    kernel: &'static dyn Kernel,
    interfaces: &Interfaces,
) -> Result<Counts, InstallError> {
    let mut installed = BINDINGS.lock();
    if installed.is_some() {
        return Err(InstallError::Installed);
    }
    let interface = backend
        .signature
        .and_then(|signature| interfaces.find(&signature).copied());
    let host = Host {
        kernel,
        interface: interface.as_ref(),
    };
    let bindings = interposed((backend.bind)(&host)?);
    // SAFETY: the sites are those of this image.
    let counts = unsafe { patch::verify(image_sites(), &bindings)? };
    let bindings = installed.insert(bindings);
    INSTALLED.call_once(|| Installation {
        backend,
        kernel,
        interface,
    });
    // SAFETY: the caller is the only one who runs.
    unsafe { OpTable::get().fill(bindings) };
    lock::choose_turns(&bindings.lock, interfaces);
    // SAFETY: the caller is the only one who runs, the sites are those of this image, and the table
    // has just been filled from the bindings.
    unsafe { patch::write(kernel, image_sites(), bindings)? };
    Ok(counts)
}

/// Points the op table to the functions of `bindings`, before anything is installed: for a host on
/// which the native functions can't be used, not even until then, as a kernel that is not in ring 0
/// knows from the way it was entered. For backends: the kernel calls what its backend has for that, which
/// calls this.
///
/// # Safety
///
/// Call it on the boot CPU, with interrupts off, while no other CPU runs, and before
/// [`install`]. Every function must work on this host from now on.
pub unsafe fn use_before_install(bindings: &Bindings) {
    // SAFETY: the caller is the only one who runs.
    unsafe { OpTable::get().fill(&interposed(*bindings)) };
}

/// Readies this CPU for the ops. On every CPU, the boot CPU too, once [`Kernel::cpu_index`] knows its
/// number, which is below [`MAX_CPUS`](crate::cpu_set::MAX_CPUS); and again when the machine has been
/// suspended or restored, since the host may then have forgotten what it was to do for this CPU.
///
/// # Errors
///
/// If no backend is installed, or it can't run on this CPU.
///
/// # Safety
///
/// Call it with interrupts off, once after the CPU has started or gone on, not in the handler of an
/// interrupt.
pub unsafe fn bring_up_cpu() -> Result<(), BindError> {
    let installation = INSTALLED
        .get()
        .ok_or(BindError("no backend is installed"))?;
    (installation.backend.bring_up_cpu)(&installation.host())
}

/// Readies this CPU to be stopped; it may be started again. Then halt it with interrupts off. Nothing if
/// no backend is installed.
///
/// # Safety
///
/// Call it with interrupts off, on a CPU that was [brought up](bring_up_cpu) and that no other CPU
/// sends interrupts to any more.
pub unsafe fn take_down_cpu() {
    if let Some(installation) = INSTALLED.get() {
        (installation.backend.take_down_cpu)(&installation.host());
    }
}

/// The kernel that a backend was installed for; `None` before. For backends. Any context.
pub fn kernel() -> Option<&'static dyn Kernel> {
    INSTALLED.get().map(|installation| installation.kernel)
}

/// The bindings that are installed, with what [live patching](crate::live) has made of them, for
/// patching code that is loaded later.
///
/// Not in an interrupt handler.
pub fn installed() -> Option<Bindings> {
    *BINDINGS.lock()
}

/// What is installed for one op.
pub(crate) fn binding(op: OpNumber) -> Option<ErasedBinding> {
    let installed = BINDINGS.lock();
    installed
        .as_ref()?
        .as_slice()
        .get(usize::from(op.0))
        .copied()
}

/// Says that another binding is installed now.
pub(crate) fn rebind(change: &Change) {
    if let Some(bindings) = BINDINGS.lock().as_mut() {
        bindings.replace(change);
    }
}

/// Why no backend was installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InstallError {
    /// The backend can't run on this host.
    Bind(BindError),
    /// A call site can't be patched.
    Patch(PatchError),
    /// A backend is installed already.
    Installed,
}

impl From<BindError> for InstallError {
    fn from(error: BindError) -> Self {
        InstallError::Bind(error)
    }
}

impl From<PatchError> for InstallError {
    fn from(error: PatchError) -> Self {
        InstallError::Patch(error)
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Bind(error) => error.fmt(formatter),
            InstallError::Patch(error) => error.fmt(formatter),
            InstallError::Installed => formatter.write_str("a backend is installed already"),
        }
    }
}

impl core::error::Error for InstallError {}
