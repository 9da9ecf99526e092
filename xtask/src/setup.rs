//! What must be installed before a kernel can be built and booted.
//!
//! What can be installed without asking is, and every installation is announced. What
//! cannot is an error that names the command to run.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::progress;
use crate::step::End;

const QEMU_INSTALL: &str = "apt-get update && apt-get install -y qemu-system-x86";

/// Installs a Rust target if it is missing.
pub(crate) fn rust_target(target: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let shell = Shell::new()?;
    let libraries = cmd!(shell, "rustc --print target-libdir --target {target}")
        .read()
        .context("rustc does not run; install Rust from https://rustup.rs")?;
    if Path::new(&libraries).is_dir() {
        return Ok(());
    }
    writeln!(out, "installing Rust target {target} (rustup target add)")?;
    let remedy = format!("Rust target {target} is missing; run: rustup target add {target}");
    let add = cmd!(shell, "rustup target add {target}").ignore_status();
    let output = progress::during("rustup target add", || add.output()).context(remedy.clone())?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{remedy}\n{}", reason.trim_end());
    }
    Ok(())
}

/// Installs a Rust of that version, with a target, if it is missing. The inner error is why it can't.
pub(crate) fn toolchain(
    version: &str,
    target: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Result<(), String>> {
    let shell = Shell::new()?;
    let libraries = cmd!(
        shell,
        "rustup run {version} rustc --print target-libdir --target {target}"
    );
    let libraries = libraries.ignore_stderr().read().unwrap_or_default();
    if Path::new(&libraries).is_dir() {
        return Ok(Ok(()));
    }
    writeln!(
        out,
        "installing Rust {version} (rustup toolchain install {version})"
    )?;
    let install = cmd!(
        shell,
        "rustup toolchain install {version} --profile minimal --target {target} --no-self-update"
    );
    let output = progress::during("rustup toolchain install", || {
        install.ignore_status().output()
    });
    Ok(match output {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!(
            "Rust {version} is missing; run: rustup toolchain install {version} --target {target}"
        )),
    })
}

/// QEMU's name and version; installs it if it is missing and this is root on Debian.
pub(crate) fn qemu(out: &mut dyn Write) -> anyhow::Result<String> {
    if let Some(version) = qemu_version()? {
        return Ok(version);
    }
    let remedy = format!("qemu-system-x86_64 is not installed; run: {QEMU_INSTALL}");
    if !is_root_on_debian() {
        bail!(remedy);
    }
    writeln!(out, "installing qemu-system-x86 ({QEMU_INSTALL})")?;
    apt_get(&["update"], &remedy)?;
    apt_get(&["install", "-y", "qemu-system-x86"], &remedy)?;
    qemu_version()?.context(remedy)
}

/// Brings apt's lists of packages up to date if this is root on Debian.
pub(crate) fn package_lists(out: &mut dyn Write) -> anyhow::Result<()> {
    let remedy = "apt's lists lack packages; run: apt-get update";
    if !is_root_on_debian() {
        bail!(remedy);
    }
    writeln!(out, "updating apt's lists of packages (apt-get update)")?;
    apt_get(&["update"], remedy)
}

fn apt_get(arguments: &[&str], remedy: &str) -> anyhow::Result<()> {
    let shell = Shell::new()?;
    shell.set_var("DEBIAN_FRONTEND", "noninteractive");
    let step = cmd!(shell, "apt-get {arguments...}");
    let title = step.to_string();
    let output = progress::during(&title, || step.ignore_status().output())
        .with_context(|| remedy.to_string())?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{remedy}\n{title} failed: {}", reason.trim_end());
    }
    Ok(())
}

/// `None` when QEMU is not in the path.
fn qemu_version() -> anyhow::Result<Option<String>> {
    match Command::new("qemu-system-x86_64").arg("--version").output() {
        Ok(output) => Ok(Some(short_version(&String::from_utf8_lossy(
            &output.stdout,
        )))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("qemu-system-x86_64 does not run"),
    }
}

/// "QEMU 7.2.22" from "QEMU emulator version 7.2.22 (Debian ...)".
fn short_version(text: &str) -> String {
    match text.split_once("version ") {
        Some((_, rest)) => format!("QEMU {}", rest.split_whitespace().next().unwrap_or("?")),
        None => "QEMU".into(),
    }
}

/// Whether this run decides if a change goes in: what is missing must not open that gate.
pub(crate) fn is_gate() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The end of a step for which something is missing that could be had. That is no skip where it decides.
pub(crate) fn lacking(reason: String) -> End {
    match is_gate() {
        true => End::Failed(reason),
        false => End::Skipped(reason),
    }
}

fn is_root_on_debian() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Path::new("/etc/debian_version").exists() && effective_user(&status) == Some(0)
}

/// The second number of line `Uid:` of /proc/PID/status, see proc(5).
fn effective_user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_cut_to_its_number() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright (c) ...";
        assert_eq!(short_version(debian), "QEMU 7.2.22");
        assert_eq!(short_version(""), "QEMU");
        assert_eq!(short_version("version "), "QEMU ?");
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\tx\nUid:\t1000\t0\t1000\t1000\nGid:\t5\t5\t5\t5\n";
        assert_eq!(effective_user(status), Some(0));
        assert_eq!(effective_user("Name:\tx\n"), None);
        assert_eq!(effective_user("Uid:\t1000\n"), None);
    }
}
