//! An option ROM that offers VMI 3.0 to a 32-bit guest in ring 0.
//!
//! The BIOS calls it once (`post`). It takes some memory then, as the ROM itself is read-only from the
//! end of POST on (`state`). A guest finds it, calls `VMI_Init` (`init`) and asks where each call is
//! (`entries`). Code runs wherever the guest has mapped the ROM, so there are no addresses in it; it
//! reaches its memory by the distance from itself.
//!
//! `native` does what each call says with the bare instruction; `kvm` uses KVM's interfaces beneath.
//! docs/vmi-rom.md has what a guest and a user must know.
#![cfg_attr(target_arch = "x86", no_std, no_main)]

#[cfg(target_arch = "x86")]
#[path = "../../src/abi/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is written for guests")]
mod abi;

#[cfg(target_arch = "x86")]
mod rom;

#[cfg(not(target_arch = "x86"))]
fn main() {
    eprintln!("the ROM is built by `cargo xtask vmi-rom`");
    std::process::exit(2);
}
