//! What depends on the word size: call sites, thunks and instruction encodings. What does not is
//! beside the two.

pub(crate) mod encode;
pub mod shape;
#[macro_use]
mod template;
pub(crate) mod site;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[macro_use]
        mod x86_64;
        use x86_64 as selected;
    } else if #[cfg(target_arch = "x86")] {
        #[macro_use]
        mod x86;
        use x86 as selected;
    } else {
        compile_error!("pvops-core is for x86");
    }
}

// Behind the macros that it uses.
#[cfg(not(all(loom, test)))]
mod lock;

#[doc(hidden)]
pub use template::{is_single_instruction, padding};

pub(crate) use selected::*;
pub(crate) use shape::{class_of, function_type};
pub(crate) use site::site_asm;
