//! Hands the kernel's linker script to the linker, and what in it depends on the word size.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kernel.ld");
    // Multiboot loaders want the virtual address, PVH loaders look at the note instead.
    let (offset, entry) = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86") => ("0xc0000000", "multiboot_entry"),
        _ => ("0xffffffff80000000", "pvh_entry_physical"),
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
