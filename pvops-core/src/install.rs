//! Installing a backend: fill the table, patch every call site, once.

use core::fmt;

use spin::Once;

use crate::backend::{Backend, BindError, Host};
use crate::kernel::Kernel;
use crate::ops::Bindings;
use crate::patch::{self, Counts, PatchError};
use crate::probe::Interfaces;
use crate::site::image_sites;
use crate::table::OpTable;

static INSTALLED: Once<Bindings> = Once::new();

/// Binds the ops to what `backend` does for them and patches all call sites of the image.
///
/// Afterwards the [op table](OpTable) and the text do not change any more; a kernel that can maps
/// them read-only.
///
/// # Errors
///
/// If the backend can't run here, or a site can't be patched: then neither the table nor any site
/// has changed, and another backend may be installed. If a backend is installed already.
///
/// # Safety
///
/// Call it on the boot CPU, with interrupts off, while no other CPU runs.
pub unsafe fn install(
    backend: &Backend,
    kernel: &dyn Kernel,
    interfaces: &Interfaces,
) -> Result<Counts, InstallError> {
    if INSTALLED.is_completed() {
        return Err(InstallError::Installed);
    }
    let interface = backend
        .signature
        .and_then(|signature| interfaces.find(&signature));
    let bindings = (backend.bind)(&Host { kernel, interface })?;
    // SAFETY: the sites are those of this image.
    let counts = unsafe { patch::verify(image_sites(), &bindings)? };
    let bindings = INSTALLED.call_once(|| bindings);
    // SAFETY: the caller is the only one who runs.
    unsafe { OpTable::get().fill(bindings) };
    // SAFETY: the caller is the only one who runs, the sites are those of this image, and the table
    // has just been filled from the bindings.
    unsafe { patch::write(kernel, image_sites(), bindings)? };
    Ok(counts)
}

/// The bindings that are installed, for patching code that is loaded later.
pub fn installed() -> Option<&'static Bindings> {
    INSTALLED.get()
}

/// Why no backend was installed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
