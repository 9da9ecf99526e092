//! `cargo xtask build`: the demo kernel, of both word sizes.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use pvops_tests::image::Image;
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::outcome::Outcome;
use crate::progress;
use crate::setup;

const PACKAGE: &str = "guest-kernel-demo";

/// Builds the kernels and prints their paths and sizes.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    for word_size in WordSize::ALL {
        let Some(kernel) = build(word_size, out)? else {
            return Ok(Outcome::Failed);
        };
        let sizes = Sizes::of(&kernel)?;
        writeln!(out, "{}: {sizes}", shown_path(&kernel).display())?;
    }
    Ok(Outcome::Passed)
}

/// Which of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WordSize {
    Bits64,
    Bits32,
}

impl WordSize {
    pub(crate) const ALL: [Self; 2] = [Self::Bits64, Self::Bits32];

    /// The Rust target.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Bits64 => "x86_64-unknown-none",
            // There is no bare one; without vector registers and std it is as good as one.
            Self::Bits32 => "i586-unknown-linux-gnu",
        }
    }

    /// Cargo's options for the kernel alone: the 32-bit target is one for programs, and others may build
    /// programs for it.
    ///
    /// Of the CPUs that this target allows, Lakemont is the one without an FPU: else the compiler moves
    /// 64-bit atomics by way of the x87 registers, which are the running program's.
    fn cargo_options(self) -> &'static [&'static str] {
        match self {
            Self::Bits64 => &[],
            Self::Bits32 => &[
                "--config",
                "target.i586-unknown-linux-gnu.linker='rust-lld'",
                "--config",
                "target.i586-unknown-linux-gnu.rustflags=['-Crelocation-model=static', \
                 '-Ctarget-cpu=lakemont']",
            ],
        }
    }

    /// The directory of the kernel's copy.
    fn directory(self) -> &'static str {
        match self {
            Self::Bits64 => "guest/x86_64",
            Self::Bits32 => "guest/x86",
        }
    }
}

impl fmt::Display for WordSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bits64 => "64-bit",
            Self::Bits32 => "32-bit",
        })
    }
}

/// How large a kernel is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The ELF file.
    file: usize,
    /// What of it is loaded.
    loaded: usize,
}

impl Sizes {
    pub(crate) fn of(kernel: &Path) -> anyhow::Result<Self> {
        let shown = kernel.display();
        let file = fs::read(kernel).with_context(|| shown.to_string())?;
        let image = Image::parse(&file).map_err(|error| anyhow!("{shown} {error}"))?;
        Ok(Self {
            file: file.len(),
            loaded: image
                .sections()
                .iter()
                .map(|section| section.data.len())
                .sum(),
        })
    }

    /// Whether the kernel is as small as it must be.
    pub(crate) fn is_small(&self) -> bool {
        const LIMIT: usize = 1 << 20;
        self.file < LIMIT && self.loaded < LIMIT
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes, of which {} are loaded; the rest is for debuggers",
            self.file, self.loaded
        )
    }
}

/// Builds a kernel in release mode and gives the path of a copy that stays there:
/// `guest/x86_64/guest-kernel-demo` or `guest/x86/guest-kernel-demo` in the target directory.
/// `None` when it does not compile; `out` has the compiler's messages then.
pub(crate) fn build(word_size: WordSize, out: &mut dyn Write) -> anyhow::Result<Option<PathBuf>> {
    setup::rust_target(word_size.target(), out)?;
    writeln!(out, "building {PACKAGE} for {}", word_size.target())?;
    let shell = repository()?;
    let built = progress::during("building the kernel", || {
        compile(&shell, word_size, &["--release"], &[])
    })?;
    match built {
        Ok(executable) => Ok(Some(keep_copy(word_size, &executable)?)),
        Err(messages) => {
            out.write_all(&messages)?;
            Ok(None)
        }
    }
}

/// Builds a kernel with options for cargo, and options for the compiler when it links. Gives
/// the file's path, or the compiler's messages when it does not compile.
pub(crate) fn compile(
    shell: &Shell,
    word_size: WordSize,
    cargo_options: &[&str],
    link_options: &[&str],
) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let (cargo, target) = (cargo(), word_size.target());
    let own_options = word_size.cargo_options();
    let command = cmd!(
        shell,
        "{cargo} rustc {own_options...} --package {PACKAGE} --target {target} {cargo_options...} {MESSAGES...} -- {link_options...}"
    );
    // Flags from outside would replace the kernel's own in .cargo/config.toml.
    executable_of(command.env_remove("RUSTFLAGS"), PACKAGE)
}

/// What makes cargo say where an executable is.
pub(crate) const MESSAGES: [&str; 2] = ["--message-format", "json-render-diagnostics"];

/// Runs a cargo command with [`MESSAGES`]. Gives the path of the executable called `name`, or
/// the compiler's messages when it fails.
pub(crate) fn executable_of(
    command: Cmd<'_>,
    name: &str,
) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let command = command
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .ignore_status();
    let output = command.output()?;
    if !output.status.success() {
        return Ok(Err(output.stderr));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = executable(&messages, name)
        .with_context(|| format!("cargo built {name}, but does not say where"))?;
    Ok(Ok(path))
}

/// The path in cargo's message about the executable it made, see "External tools" in the
/// Cargo book.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

fn keep_copy(word_size: WordSize, executable: &Path) -> anyhow::Result<PathBuf> {
    // <target directory>/x86_64-unknown-none/release/guest-kernel-demo
    let directory = target_directory(executable)?.join(word_size.directory());
    let copy = directory.join(PACKAGE);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    fs::copy(executable, &copy).with_context(|| copy.display().to_string())?;
    Ok(copy)
}

/// The target directory that `kernel` is in, three levels up: the executable as well as the copy.
pub(crate) fn target_directory(kernel: &Path) -> anyhow::Result<&Path> {
    let target = kernel.ancestors().nth(3);
    target.with_context(|| format!("odd kernel path {}", kernel.display()))
}

/// The path of `file` from `directory`, which it is in. Some loaders tell the guest the path that they were
/// given: this one is the same in every checkout.
pub(crate) fn path_in<'a>(directory: &Path, file: &'a Path) -> anyhow::Result<&'a str> {
    let path = file.strip_prefix(directory).ok().and_then(Path::to_str);
    path.with_context(|| format!("{} is not in {}", file.display(), directory.display()))
}

/// Relative to the current directory if that is shorter.
pub(crate) fn shown_path(path: &Path) -> &Path {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(current).unwrap_or(path)
}

/// A shell in the repository.
pub(crate) fn repository() -> anyhow::Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(repository_path());
    Ok(shell)
}

fn repository_path() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// A directory in the target directory for builds with other flags: in one directory each would
/// undo the other's.
pub(crate) fn other_target_directory(name: &str) -> PathBuf {
    target_directory_of_cargo().join(name)
}

/// The directory that cargo builds in when it runs in the repository, as it does by [`repository`] from
/// wherever xtask is called.
pub(crate) fn target_directory_of_cargo() -> PathBuf {
    target_directory_asked(std::env::var_os("CARGO_TARGET_DIR"))
}

fn target_directory_asked(asked: Option<OsString>) -> PathBuf {
    repository_path().join(asked.unwrap_or("target".into()))
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_does_not_see_where_the_checkout_is() {
        let kernel = Path::new("/some where/target/guest/64/kernel");
        let target = target_directory(kernel).unwrap();
        assert_eq!(path_in(target, kernel).unwrap(), "guest/64/kernel");
        assert!(path_in(target, Path::new("/elsewhere/kernel")).is_err());
    }

    #[test]
    fn the_target_directory_is_the_repositorys_wherever_xtask_is_called() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let directory = |asked: Option<&str>| target_directory_asked(asked.map(OsString::from));
        assert_eq!(directory(None), repository.join("target"));
        assert_eq!(directory(Some("a/b")), repository.join("a/b"));
        assert_eq!(directory(Some("/a/b")), Path::new("/a/b"));
    }

    #[test]
    fn a_kernel_is_small_below_one_mebibyte() {
        let sizes = |file, loaded| Sizes { file, loaded };
        assert!(sizes((1 << 20) - 1, 1000).is_small());
        assert!(!sizes(1 << 20, 1000).is_small());
        assert!(!sizes(1000, 1 << 20).is_small());
    }

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"pvops-core"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"guest-kernel-demo"},"executable":"/t/x86_64-unknown-none/release/guest-kernel-demo"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages, PACKAGE),
            Some("/t/x86_64-unknown-none/release/guest-kernel-demo".into())
        );
        assert_eq!(executable("", PACKAGE), None);
    }
}
