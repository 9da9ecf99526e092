//! Guests of the CPU's virtualization: PVH and HVM, which are in ring 0 and have frames of their own.

use pvops_backend_native::{self as native, HypercallInstruction};
use pvops_core::probe::{Interfaces, Signature};
use pvops_core::{Bindings, bindings, cpu, use_before_install};

use crate::version::{Features, features};
use crate::{console, hypercall};

/// How Xen announces itself. Xen's public/arch-x86/cpuid.h.
pub(crate) const SIGNATURE: Signature = Signature::new(*b"XenVMMXenVMM");

/// Lets calls out before the backend is installed, and has the console be Xen's, for a kernel that was
/// entered in ring 0 and wants to know from Xen where its memory is. Whether Xen is there to be called.
///
/// # Safety
///
/// As for [`use_before_install`].
pub unsafe fn start(interfaces: &Interfaces) -> bool {
    let Some(instruction) = instruction(interfaces) else {
        return false;
    };
    let mut bindings = Bindings {
        system: bindings::system {
            hypercall: instruction.binding(),
            console_byte: console::DEBUG_PORT,
            ..native::BEFORE_INSTALL.system
        },
        ..native::BEFORE_INSTALL
    };
    // SAFETY: the functions are the native ones, good in ring 0, the instruction that Xen takes, and a
    // port that Xen has.
    unsafe { use_before_install(&bindings) };
    hypercall::allow();
    if is_dom0() {
        bindings.system.console_byte = console::XEN_CONSOLE;
        // SAFETY: as above, and Xen takes calls.
        unsafe { use_before_install(&bindings) };
    }
    true
}

fn is_dom0() -> bool {
    features().is_ok_and(|features| features.contains(Features::DOM0))
}

fn instruction(interfaces: &Interfaces) -> Option<HypercallInstruction> {
    interfaces.find(&SIGNATURE)?;
    HypercallInstruction::of(&cpu::cpuid)
}
