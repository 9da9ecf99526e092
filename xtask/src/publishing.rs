//! The library's packages: each could be published, and builds from what is packed of it alone, by the
//! oldest Rust that it names and for both word sizes.

use std::io::Write;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_rust_is_a_version() {
        let version = oldest_rust().unwrap();
        assert!(version.starts_with("1.") && version[2..].parse::<u32>().is_ok());
    }
}
