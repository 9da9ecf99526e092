//! `cargo xtask vmi-rom`: the option ROM that offers VMI 3.0, malformed ones, and its test.

mod image;
mod malformed;
mod test;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use xshell::cmd;

use self::image::Rom;
use crate::cli::VmiRomArguments;
use crate::kernel::{self, MESSAGES, WordSize};
use crate::outcome::Outcome;
use crate::progress;
use crate::setup;
use crate::tally::Tally;

pub(crate) use self::test::run as test;

const PACKAGE: &str = "pvops-vmi-rom";
/// Nothing of the ROM is left to a C compiler's driver.
const LINK_OPTIONS: [&str; 4] = ["-C", "linker=rust-lld", "-C", "linker-flavor=ld.lld"];

/// Builds the ROM and the malformed ones, and prints the path of each; tests the good one if asked to.
pub(crate) fn run(arguments: &VmiRomArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let rom = match build(out)? {
        Ok(rom) => rom,
        Err(messages) => {
            out.write_all(&messages)?;
            return Ok(Outcome::Failed);
        }
    };
    writeln!(out, "{}: {}", rom.path.display(), rom.rom.description())?;
    for malformed in malformed::ALL {
        let path = rom.malformed(malformed)?;
        writeln!(out, "{}: {}", path.display(), malformed.meaning)?;
    }
    if !arguments.test {
        return Ok(Outcome::Passed);
    }
    let qemu = setup::qemu(out).map_err(|error| format!("{error:#}"));
    let mut tally = Tally::default();
    test(&qemu, &mut tally, out)?;
    Ok(tally.close(out)?)
}

/// Builds the ROM and the malformed ones, and gives their directory. The inner error has the compiler's
/// messages.
pub(crate) fn build_all(out: &mut dyn Write) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let rom = match build(out)? {
        Ok(rom) => rom,
        Err(messages) => return Ok(Err(messages)),
    };
    for malformed in malformed::ALL {
        rom.malformed(malformed)?;
    }
    let directory = rom.path.parent().context("odd path of the ROM")?;
    Ok(Ok(directory.to_path_buf()))
}

/// The ROM, and the file that QEMU's `-option-rom` takes.
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    rom: Rom,
}

impl Built {
    /// Writes a malformed ROM beside the good one.
    fn malformed(&self, malformed: &malformed::Malformed) -> anyhow::Result<PathBuf> {
        let path = self.path.with_file_name(format!("{}.rom", malformed.name));
        let rom = malformed.make(&self.rom)?;
        fs::write(&path, rom.bytes()).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

/// Builds the ROM as `guest/vmi-rom/vmi.rom` in the target directory. The inner error has the compiler's
/// messages.
pub(crate) fn build(out: &mut dyn Write) -> anyhow::Result<Result<Built, Vec<u8>>> {
    let linked = match compile("vmi-rom", out)? {
        Ok(linked) => linked,
        Err(messages) => return Ok(Err(messages)),
    };
    let file = fs::read(&linked).with_context(|| linked.display().to_string())?;
    let rom = Rom::from_elf(&file).with_context(|| linked.display().to_string())?;
    let directory = kernel::target_directory(&linked)?.join("guest/vmi-rom");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let path = directory.join("vmi.rom");
    fs::write(&path, rom.bytes()).with_context(|| path.display().to_string())?;
    Ok(Ok(Built { path, rom }))
}

/// Builds one of the package's programs and gives its path.
fn compile(name: &str, out: &mut dyn Write) -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let target = WordSize::Bits32.target();
    setup::rust_target(target, out)?;
    let cargo = kernel::cargo();
    let shell = kernel::repository()?;
    let command = cmd!(
        shell,
        "{cargo} rustc --package {PACKAGE} --bin {name} --target {target} --release {MESSAGES...} -- {LINK_OPTIONS...}"
    );
    // Flags from outside would be the ROM's too.
    let command = command.env_remove("RUSTFLAGS");
    progress::during("building the ROM", || kernel::executable_of(command, name))
}
