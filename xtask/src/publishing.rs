//! The library's packages: each could be published, and builds from what is packed of it alone, by the
//! oldest Rust that it names and for both word sizes.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::cmd;

use crate::kernel;
use crate::setup;
use crate::step::{self, End};
use crate::tally::Tally;

/// What kernels link.
pub(crate) const LIBRARIES: [&str; 5] = [
    "--package=pvops-core",
    "--package=pvops-backend-native",
    "--package=pvops-backend-kvm",
    "--package=pvops-backend-xen",
    "--package=pvops-backend-vmi",
];

/// One for each word size. Nothing is linked, so that the 32-bit one is of programs, which all mirrors have.
const TARGETS: [&str; 2] = ["x86_64-unknown-none", "i686-unknown-linux-gnu"];
/// The workspace's; `xtask` itself may want a newer one.
fn oldest_rust() -> anyhow::Result<&'static str> {
    let mut lines = include_str!("../../Cargo.toml").lines();
    let version = lines.find_map(|line| line.strip_prefix("rust-version = \""));
    let version = version.and_then(|rest| rest.strip_suffix('"'));
    version.context("the workspace names no oldest Rust")
}

/// Publishes them, but for the upload.
pub(crate) fn test(tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<()> {
    let oldest_rust = oldest_rust()?;
    let mut installed = Ok(());
    for target in TARGETS {
        installed = installed.and(setup::toolchain(oldest_rust, target, out)?);
    }
    step::run(
        &format!("packages, by Rust {oldest_rust}"),
        tally,
        out,
        || {
            if let Err(reason) = installed {
                return Ok(setup::lacking(reason));
            }
            forget_earlier_packages(&cargo_home()?.join("registry/src"))?;
            publish_dry(oldest_rust)
        },
    )?;
    Ok(())
}

fn publish_dry(oldest_rust: &str) -> anyhow::Result<End> {
    let shell = kernel::repository()?;
    let cargo = kernel::cargo();
    // This cargo packs several packages that need each other; the compiler is the older one.
    let [wide, narrow] = TARGETS;
    let command = cmd!(
        shell,
        "{cargo} publish --dry-run --locked --allow-dirty --target {wide} --target {narrow} {LIBRARIES...}"
    );
    let output = command
        .env("RUSTUP_TOOLCHAIN", oldest_rust)
        .env_remove("RUSTC")
        .env_remove("RUSTFLAGS")
        .env(
            "CARGO_TARGET_DIR",
            kernel::other_target_directory("packages"),
        )
        .ignore_status()
        .output()?;
    Ok(match output.status.success() {
        true => End::Passed(format!("{}", LIBRARIES.len())),
        false => End::Failed(String::from_utf8_lossy(&output.stderr).into()),
    })
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::home_dir().context("no home directory")?;
    Ok(home.join(".cargo"))
}

/// Removes what cargo has unpacked of the same packages before. It has them from a registry of its own in the
/// target directory, and takes one with the same version for the same package.
fn forget_earlier_packages(sources: &Path) -> anyhow::Result<()> {
    if !sources.exists() {
        return Ok(());
    }
    for registry in subdirectories(sources)? {
        // <host>-<hash>, and that one has no host.
        if !name(&registry).starts_with('-') {
            continue;
        }
        for package in subdirectories(&registry)? {
            let is_ours = LIBRARIES
                .iter()
                .filter_map(|option| option.strip_prefix("--package="))
                .filter_map(|library| name(&package).strip_prefix(library))
                .any(|rest| rest.starts_with('-'));
            if is_ours {
                let shown = package.display().to_string();
                fs::remove_dir_all(package).context(shown)?;
            }
        }
    }
    Ok(())
}

fn subdirectories(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_packages_of_cargos_own_registry_are_forgotten() {
        let sources = env::temp_dir().join(format!("pvops-sources-{}", std::process::id()));
        let directories = [
            "-1234/pvops-core-0.1.0/src",
            "-1234/pvops-coretime-0.1.0",
            "-1234/spin-0.10.0",
            "registry-1234/pvops-core-0.1.0",
        ];
        for directory in directories {
            fs::create_dir_all(sources.join(directory)).unwrap();
        }
        forget_earlier_packages(&sources).unwrap();
        let left = directories.map(|directory| sources.join(directory).exists());
        fs::remove_dir_all(&sources).unwrap();
        assert_eq!(left, [false, true, true, true]);
        assert!(forget_earlier_packages(&sources).is_ok());
    }

    #[test]
    fn the_oldest_rust_is_a_version() {
        let version = oldest_rust().unwrap();
        assert!(version.starts_with("1.") && version[2..].parse::<u32>().is_ok());
    }
}
