//! The library linked in every way that a kernel or a program is.
//!
//! Call sites are found through a section that the linker bounds and must not drop, and are reached
//! by addresses that differ with the relocation model; so each linker, profile and relocation model
//! is built and run. rustc has every one of them collect unused sections. All is built in a target
//! directory of its own.

mod kernels;
mod process;

use std::io::{self, Write};
use std::process::Command;

use crate::kernel;
use crate::tally::Tally;

/// The target of 32-bit programs that run here: it comes with a C library, and rustc's own linker
/// makes programs of it, so that rustup alone is needed.
pub(crate) const TARGET_32: &str = "i686-unknown-linux-musl";
/// How these are linked.
pub(crate) const RUSTFLAGS_32: &str = "-C linker=rust-lld -C linker-flavor=ld.lld \
    -C link-self-contained=yes -C relocation-model=static";

/// Builds and runs all combinations; `qemu` is its name and version, or why it is missing.
pub(crate) fn run(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let shell = kernel::repository()?;
    shell.set_var(
        "CARGO_TARGET_DIR",
        kernel::other_target_directory("link-matrix"),
    );
    process::run(&shell, tally, out)?;
    kernels::run(&shell, qemu, tally, out)
}

/// Why `linker` cannot stand for GNU ld, if it cannot.
fn not_gnu(linker: &str) -> Option<String> {
    match Command::new(linker).arg("--version").output() {
        Ok(output) if output.stdout.starts_with(b"GNU ld") => None,
        Ok(_) => Some(format!("{linker} is not GNU ld")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!(
            "{linker} is not installed; run: apt-get install binutils"
        )),
        Err(error) => Some(format!("{linker} does not run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_are_not_gnu_ld() {
        assert_eq!(not_gnu("true").unwrap(), "true is not GNU ld");
        let missing = not_gnu("no-such-linker").unwrap();
        assert!(missing.starts_with("no-such-linker is not installed"));
    }
}
