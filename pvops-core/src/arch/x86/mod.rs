//! 32-bit x86.

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

pub(crate) use argument::Words;
pub(crate) use section::address_of;
pub(crate) use site::{c_site, call_site, preserve_site, register_site, site_call, words};
