//! Hands the kernel's linker script to the linker.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kernel.ld");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
