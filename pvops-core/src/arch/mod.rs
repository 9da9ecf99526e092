//! What depends on the word size: call sites, thunks, templates and instruction encodings.

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        mod x86_64;
        pub use x86_64::*;
    } else {
        compile_error!("pvops-core knows 64-bit x86 only; 32-bit x86 is to come");
    }
}
