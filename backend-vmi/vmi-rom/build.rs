//! Links the ROM and its test with their own scripts.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86") {
        return;
    }
    let directory = env!("CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed=rom.ld");
    for argument in ["-static", "-pie", "--no-dynamic-linker", "--gc-sections"] {
        println!("cargo::rustc-link-arg-bin=vmi-rom={argument}");
    }
    println!("cargo::rustc-link-arg-bin=vmi-rom=-T{directory}/rom.ld");
    println!("cargo::rerun-if-changed=test-kernel/kernel.ld");
    println!("cargo::rustc-link-arg-bin=vmi-rom-test=--no-pie");
    println!("cargo::rustc-link-arg-bin=vmi-rom-test=-T{directory}/test-kernel/kernel.ld");
}
