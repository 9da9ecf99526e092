//! Debian's GRUB: disks from which it boots the kernel on a PC's BIOS, by Multiboot2.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::appliance::archive::Archive;
use crate::appliance::release::Release;
use crate::appliance::tree::Tree;
use crate::appliance::{libraries, packages};

/// GRUB, unpacked and not installed.
#[derive(Clone)]
pub(crate) struct Grub {
    directory: PathBuf,
}

/// What is on two disks, which a BIOS finds in this order.
pub(crate) struct Disks {
    /// The one it boots, with GRUB.
    pub(crate) grub: Vec<u8>,
    pub(crate) kernel: Vec<u8>,
}

const PACKAGES: [&str; 2] = ["grub-pc-bin", "grub-common"];
const PROGRAM: &str = "usr/bin/grub-mkimage";
const LINKER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
/// GRUB for a BIOS.
const PLATFORM: &str = "i386-pc";
const PLATFORM_FILES: &str = "usr/lib/grub/i386-pc";

/// What GRUB needs to read the kernel from an archive on a disk, and to start it.
const MODULES: [&str; 3] = ["biosdisk", "newc", "multiboot2"];

impl Grub {
    /// Unpacks it in `target`, unless it is there already. When this machine cannot, the inner error is the
    /// reason and the remedy.
    pub(crate) fn unpacked(
        target: &Path,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Self, String>> {
        let store = target.join("packages");
        let downloaded = packages::closure(&PACKAGES, out).and_then(|found| {
            packages::download(&Release::THIS, &found, &store, out).map(|()| found)
        });
        let found = match downloaded {
            Ok(found) => found,
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        let grub = Self {
            directory: target.join("grub"),
        };
        let inputs: String = found
            .iter()
            .map(|package| format!("{} {}\n", package.file_name, package.hash))
            .collect();
        // Written last, because it says that the rest is complete.
        let complete = grub.directory.join("inputs");
        if !fs::read_to_string(&complete).is_ok_and(|old| old == inputs) {
            grub.unpack(&found, &store)?;
            write(&complete, inputs.as_bytes())?;
        }
        Ok(Ok(grub))
    }

    fn unpack(&self, packages: &[packages::Package], store: &Path) -> anyhow::Result<()> {
        let _ = fs::remove_dir_all(&self.directory);
        let unpacked = self.directory.join("unpacked");
        create_directory(&unpacked)?;
        packages::unpack(packages, store, &unpacked)?;
        let tree = Tree::new(unpacked.clone());
        for (path, content) in libraries::with_libraries(&tree, &[PROGRAM])? {
            write(&self.directory.join(path), &content)?;
        }
        for (name, path) in tree.files_under(PLATFORM_FILES)? {
            let content = fs::read(&path).with_context(|| path.display().to_string())?;
            write(&self.directory.join(PLATFORM_FILES).join(name), &content)?;
        }
        fs::remove_dir_all(&unpacked).with_context(|| unpacked.display().to_string())
    }

    /// Disks with `kernel`, an ELF file, which gets `cmdline`.
    pub(crate) fn disks(&self, kernel: &[u8], cmdline: &str) -> anyhow::Result<Disks> {
        let mut archive = Archive::new(Vec::new());
        archive.add("kernel", kernel)?;
        let platform = self.directory.join(PLATFORM_FILES);
        let mut grub = fs::read(platform.join("boot.img")).context("GRUB's boot.img")?;
        grub.extend(self.core_image(&script(cmdline)?)?);
        Ok(Disks {
            grub: padded(grub),
            kernel: padded(archive.finish()?),
        })
    }

    /// GRUB itself, which runs `script`: what comes behind the boot sector.
    fn core_image(&self, script: &str) -> anyhow::Result<Vec<u8>> {
        let file = |name| self.directory.join(name);
        let (configuration, image) = (file("script"), file("core.img"));
        write(&configuration, script.as_bytes())?;
        // With the libraries it was made for, on any Linux.
        let output = Command::new(file(LINKER))
            .arg("--library-path")
            .arg(file(LIBRARIES))
            .arg(file(PROGRAM))
            .args(["--format", PLATFORM, "--prefix", "(hd1)", "--config"])
            .arg(&configuration)
            .arg("--directory")
            .arg(file(PLATFORM_FILES))
            .arg("--output")
            .arg(&image)
            .args(MODULES)
            .output()
            .context(PROGRAM)?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!("{PROGRAM} failed: {}", reason.trim());
        }
        fs::read(&image).with_context(|| image.display().to_string())
    }
}

impl Disks {
    /// QEMU's arguments for these disks, kept in `directory`.
    pub(crate) fn arguments(&self, directory: &Path) -> anyhow::Result<Vec<String>> {
        let disks = [("grub-disk", &self.grub), ("kernel-disk", &self.kernel)];
        let mut arguments = Vec::new();
        for (number, (name, content)) in disks.into_iter().enumerate() {
            let path = directory.join(name);
            write(&path, content)?;
            let path = path.to_str().context("odd path of a disk")?;
            arguments.extend(drive(path, number));
        }
        Ok(arguments)
    }
}

/// QEMU's arguments for the disk with this number.
pub(crate) fn drive(path: &str, number: usize) -> [String; 2] {
    let path = path.replace(',', ",,");
    let drive = format!("file={path},format=raw,if=ide,index={number}");
    ["-drive".into(), drive]
}

/// GRUB's commands to boot the kernel.
fn script(cmdline: &str) -> anyhow::Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" .,:=_-/".contains(&byte);
    if !cmdline.bytes().all(plain) {
        bail!("{cmdline:?} cannot be said to GRUB");
    }
    Ok(format!("multiboot2 (hd1)/kernel {cmdline}\nboot\n"))
}

/// A BIOS boots no disk without a whole cylinder.
fn padded(mut disk: Vec<u8>) -> Vec<u8> {
    const UNIT: usize = 1 << 20;
    disk.resize(disk.len().next_multiple_of(UNIT), 0);
    disk
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(directory) = path.parent() {
        create_directory(directory)?;
    }
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| path.display().to_string())
}

fn create_directory(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_is_told_only_what_it_takes_as_it_is() {
        let told = script("host-lacks=pit,rtc end=poweroff").unwrap();
        assert_eq!(
            told,
            "multiboot2 (hd1)/kernel host-lacks=pit,rtc end=poweroff\nboot\n"
        );
        for bad in ["$root", "a\nb", "'", "a;b", "{"] {
            assert!(script(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn disks_have_whole_cylinders() {
        assert_eq!(padded(vec![1; 5]).len(), 1 << 20);
        assert_eq!(padded(vec![1; (1 << 20) + 1]).len(), 2 << 20);
    }
}
