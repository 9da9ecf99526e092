//! 64-bit x86.

pub(crate) mod encode;
pub mod shape;
mod site;
#[macro_use]
mod template;
#[macro_use]
mod thunk;
// Behind the macros that it uses.
#[cfg(not(loom))]
mod lock;

#[doc(hidden)]
pub use template::is_single_instruction;

pub(crate) use shape::{class_of, function_type};
pub use site::asm_op;
#[cfg(target_feature = "sse")]
pub(crate) use site::vector_asm;
pub(crate) use site::{c_site, call_site, preserve_asm, preserve_site, site_asm};
