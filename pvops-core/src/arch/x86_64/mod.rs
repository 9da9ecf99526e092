//! 64-bit x86.

mod argument;
pub(crate) mod encode;
pub(crate) mod frame;
mod section;
mod site;
#[macro_use]
mod thunk;
// Behind the macros that it uses.
#[cfg(not(all(loom, test)))]
pub(crate) mod lock;

pub(crate) use argument::register;
pub(crate) use section::address_of;
#[cfg(target_feature = "sse")]
pub(crate) use site::vector_asm;
pub(crate) use site::{c_site, call_site, preserve_asm, preserve_site, site_call};
