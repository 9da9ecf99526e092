//! Kernels of examples/, built as their readers build them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::cmd;

use crate::kernel::{self, MESSAGES};

/// Builds an executable of the example called `name`, in its directory and by its own settings. Gives the
/// path of a copy, or the compiler's messages.
pub(crate) fn build(
    name: &str,
    executable: &str,
    cargo_options: &[&str],
) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let shell = kernel::repository()?;
    let target = shell
        .current_dir()
        .join(kernel::other_target_directory(name));
    shell.change_dir("examples");
    shell.change_dir(name);
    let cargo = kernel::cargo();
    let command = cmd!(
        shell,
        "{cargo} build --locked {cargo_options...} {MESSAGES...}"
    );
    let command = command
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS");
    match kernel::executable_of(command, executable)? {
        Ok(path) => keep_copy(&path).map(Ok),
        Err(messages) => Ok(Err(messages)),
    }
}

/// Where [`Lab`](crate::lab::Lab) finds what it keeps beside kernels, and the next build leaves it.
fn keep_copy(executable: &Path) -> anyhow::Result<PathBuf> {
    // <target directory>/minimal-kernel/x86_64-unknown-none/release/minimal-kernel
    let target = kernel::target_directory(executable)?.parent();
    let name = executable.file_name().context("no name")?;
    let directory = target
        .context("odd target directory")?
        .join("guest/minimal");
    let copy = directory.join(name);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    fs::copy(executable, &copy).with_context(|| copy.display().to_string())?;
    Ok(copy)
}
