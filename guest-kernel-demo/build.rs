//! Hands the kernel's linker script to the linker, and what in it depends on the word size.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kernel.ld");
    // This is for loaders that go by Multiboot; others find theirs in a note or a header.
    let (offset, entry) = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86") => ("0xc0000000", "multiboot_entry"),
        _ => ("0xffffffff80000000", "pvh_entry"),
    };
    for argument in [
        &format!("-T{script}"),
        "-zmax-page-size=4096",
        &format!("--defsym=KERNEL_OFFSET={offset}"),
        &format!("--entry={entry}"),
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
