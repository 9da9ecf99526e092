//! Hands the kernel's linker script to the linker.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    println!(
        "cargo:rustc-link-arg-bins=-T{}/kernel.ld",
        env!("CARGO_MANIFEST_DIR")
    );
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
}
