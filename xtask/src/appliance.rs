//! Linux in an initramfs, made of Debian's packages: it carries a hypervisor and its tools to a
//! machine that has neither.
//!
//! An appliance is built once, and kept in the target directory until its packages or this
//! program change. What differs from boot to boot, the kernel under test among it, is a second
//! archive behind the first; Linux unpacks both (`Documentation/driver-api/early-userspace`).

pub(crate) mod archive;
pub(crate) mod kvm;
pub(crate) mod libraries;
mod linux;
mod modules;
pub(crate) mod packages;
pub(crate) mod release;
pub(crate) mod tree;
pub(crate) mod xen;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;

use crate::progress;
use archive::Archive;
use release::Release;
use tree::Tree;

/// What an appliance consists of.
pub(crate) struct Appliance {
    pub(crate) name: &'static str,
    /// The package of Linux; it may be one that only depends on the newest.
    pub(crate) linux: &'static str,
    /// Makes what boots of its image.
    pub(crate) prepare_linux: fn(Vec<u8>) -> Vec<u8>,
    /// The packages of programs and files. Those of shared libraries are found.
    pub(crate) packages: &'static [&'static str],
    /// Paths of programs; their shared libraries come along. The name of one directory may have a `*`
    /// for a version.
    pub(crate) programs: &'static [&'static str],
    /// Paths of other files, in the same way.
    pub(crate) files: &'static [&'static str],
    /// Names of kernel modules; those that they depend on come along.
    pub(crate) modules: &'static [&'static str],
    /// What init runs when the modules are loaded, in its own shell.
    pub(crate) script: &'static str,
}

/// An appliance in the file system.
#[derive(Clone)]
pub(crate) struct Built {
    directory: PathBuf,
}

/// The first process. Everything here needs BusyBox.
const INIT: &str = include_str!("appliance/init.sh");
const BUSYBOX_PACKAGE: &str = "busybox-static";
const BUSYBOX: &str = "bin/busybox";

impl Appliance {
    /// Builds the appliance in `target`, the target directory, unless it is there already. When
    /// this machine cannot, the inner error is the reason and the remedy.
    pub(crate) fn build(
        &self,
        target: &Path,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Built, String>> {
        let roots: Vec<_> = [self.linux, BUSYBOX_PACKAGE]
            .iter()
            .chain(self.packages)
            .copied()
            .collect();
        let packages = match packages::closure(&roots, out) {
            Ok(packages) => packages,
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        let built = Built {
            directory: target.join(self.name),
        };
        let inputs = inputs(&packages)?;
        if fs::read_to_string(built.inputs()).is_ok_and(|old| old == inputs) {
            return Ok(Ok(built));
        }
        let store = target.join("packages");
        if let Err(error) = packages::download(&Release::THIS, &packages, &store, out) {
            return Ok(Err(format!("{error:#}")));
        }
        writeln!(out, "building appliance {}", self.name)?;
        let title = format!("building appliance {}", self.name);
        progress::during(&title, || self.assemble(&packages, &store, &built))?;
        // Last, because it says that the rest is complete.
        write_file(&built.inputs(), inputs.as_bytes())?;
        Ok(Ok(built))
    }

    fn assemble(
        &self,
        packages: &[packages::Package],
        store: &Path,
        built: &Built,
    ) -> anyhow::Result<()> {
        let _ = fs::remove_dir_all(&built.directory);
        let unpacked = built.directory.join("unpacked");
        create_directory(&unpacked)?;
        packages::unpack(packages, store, &unpacked)?;
        let tree = Tree::new(unpacked.clone());
        let image = fs::read(tree.only_file("boot", "vmlinuz-", "")?).context("reading Linux")?;
        write_file(&built.linux(), &(self.prepare_linux)(image))?;
        let path = built.initramfs();
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut archive = Archive::new(io::BufWriter::new(file));
        self.fill(&tree, &mut archive)?;
        archive.finish()?.flush()?;
        fs::remove_dir_all(&unpacked).with_context(|| unpacked.display().to_string())
    }

    fn fill(&self, tree: &Tree, archive: &mut Archive<impl Write>) -> anyhow::Result<()> {
        archive.add("init", INIT.as_bytes())?;
        archive.add("script", self.script.as_bytes())?;
        archive.add(BUSYBOX, &tree.read(BUSYBOX)?)?;
        for path in self.files {
            let path = tree.only_match(path)?;
            archive.add(&path, &tree.read(&path)?)?;
        }
        for (path, content) in libraries::with_libraries(tree, self.programs)? {
            archive.add(&path, &content)?;
        }
        let mut order = String::new();
        for module in modules::closure(tree, self.modules)? {
            archive.add(&format!("modules/{}", module.name), &module.content)?;
            order += &format!("{}\n", module.name);
        }
        archive.add("modules/order", order.as_bytes())?;
        Ok(())
    }
}

impl Built {
    /// Linux.
    pub(crate) fn linux(&self) -> PathBuf {
        self.directory.join("linux")
    }

    /// The initramfs and behind it `files`, by path and content, for one boot.
    pub(crate) fn initramfs_with(&self, files: &[(&str, &[u8])]) -> anyhow::Result<PathBuf> {
        let mut content =
            fs::read(self.initramfs()).with_context(|| self.initramfs().display().to_string())?;
        let mut archive = Archive::new(&mut content);
        for (path, file) in files {
            archive.add(path, file)?;
        }
        archive.finish()?;
        let path = self.directory.join("boot.cpio");
        write_file(&path, &content)?;
        Ok(path)
    }

    /// What is in the initramfs under that path.
    pub(crate) fn file(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let content =
            fs::read(self.initramfs()).with_context(|| self.initramfs().display().to_string())?;
        let found = archive::find(&content, path)?;
        found.with_context(|| format!("the appliance has no {path}"))
    }

    fn initramfs(&self) -> PathBuf {
        self.directory.join("initramfs.cpio")
    }

    fn inputs(&self) -> PathBuf {
        self.directory.join("inputs")
    }
}

/// All that an appliance is made of: packages, and this program with the scripts in it.
fn inputs(packages: &[packages::Package]) -> anyhow::Result<String> {
    let program = std::env::current_exe().and_then(fs::metadata)?;
    let age = program.modified()?.duration_since(UNIX_EPOCH)?;
    let mut inputs = format!("xtask {}\n", age.as_nanos());
    for package in packages {
        inputs += &format!("{} {}\n", package.file_name, package.hash);
    }
    Ok(inputs)
}

fn create_directory(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}

/// Replaces the file at once, so that a QEMU that reads the old one is not disturbed.
fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content).with_context(|| new.display().to_string())?;
    fs::rename(&new, path).with_context(|| path.display().to_string())
}
