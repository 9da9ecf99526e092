//! The library's packages: each builds from what is packed of it alone, by the oldest Rust that it names.

use std::io::Write;

use xshell::cmd;

use crate::kernel::{self, WordSize};
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

/// The workspace's.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Packs them and builds the packages.
pub(crate) fn test(tally: &mut Tally, out: &mut dyn Write) -> anyhow::Result<()> {
    let target = WordSize::Bits64.target();
    let installed = setup::toolchain(OLDEST_RUST, target, out)?;
    step::run(
        &format!("packages, by Rust {OLDEST_RUST}"),
        tally,
        out,
        || {
            if let Err(reason) = installed {
                return Ok(setup::lacking(reason));
            }
            pack(target)
        },
    )?;
    Ok(())
}

fn pack(target: &str) -> anyhow::Result<End> {
    let shell = kernel::repository()?;
    let cargo = kernel::cargo();
    // This cargo packs several packages that need each other; the compiler is the older one.
    let command = cmd!(
        shell,
        "{cargo} package --locked --allow-dirty --target {target} {LIBRARIES...}"
    );
    let output = command
        .env("RUSTUP_TOOLCHAIN", OLDEST_RUST)
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
