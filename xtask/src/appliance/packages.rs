//! Debian's packages: which ones, downloaded and unpacked, without installing any.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::release::Release;
use crate::progress;

/// A package file that can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// With the version in it.
    pub(crate) file_name: String,
    pub(crate) bytes: u64,
    /// Algorithm and digits.
    pub(crate) hash: String,
}

/// The newest versions of `roots`, of what these stand for, and of all shared libraries that
/// they depend on. Brings apt's lists up to date if a package is missing in them.
///
/// # Errors
/// This is no Debian, or apt does not know a package; the error has the remedy.
pub(crate) fn closure(roots: &[&str], out: &mut dyn Write) -> anyhow::Result<Vec<Package>> {
    with_lists(&Release::THIS, roots, out, &|| try_closure(roots))
}

/// The newest version in a release of the package that `package` depends on and whose name begins with
/// `start`, such as the one with a version in its name.
///
/// # Errors
/// As of [`closure`].
pub(crate) fn dependency(
    release: &Release,
    package: &str,
    start: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Package> {
    with_lists(release, &[package], out, &|| {
        let mut depends = release.command("apt-cache");
        let depends = output(depends.args(["depends", "--important", package]))?;
        let name = depended_on(&depends, start)
            .with_context(|| format!("{package} depends on no {start}*"))?;
        let mut uris = release.command("apt-get");
        let uris = output(uris.args(["download", "--print-uris", name]))?;
        let mut packages = parse_uris(&uris)?;
        packages.pop().context("apt-get names no file")
    })
}

/// Asks apt; if it fails, once more after bringing its lists up to date.
fn with_lists<T>(
    release: &Release,
    names: &[&str],
    out: &mut dyn Write,
    ask: &dyn Fn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match ask() {
        Ok(answer) => Ok(answer),
        Err(error) if is_missing_program(&error) => {
            Err(error).context("needs a Debian with apt-get, apt-cache and dpkg-deb")
        }
        Err(_) => {
            release.update_lists(out)?;
            ask().with_context(|| {
                format!(
                    "apt does not know all of {}; on Debian, with its section main in \
                     /etc/apt/sources.list and a network, run: apt-get update",
                    names.join(", ")
                )
            })
        }
    }
}

fn is_missing_program(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn try_closure(roots: &[&str]) -> anyhow::Result<Vec<Package>> {
    let mut depends = Command::new("apt-cache");
    depends
        .args(["depends", "--recurse", "--important"])
        .args(roots);
    let names = names(roots, &output(&mut depends)?);
    let mut uris = Command::new("apt-get");
    uris.args(["download", "--print-uris"]).args(names);
    parse_uris(&output(&mut uris)?)
}

/// Of the packages that `apt-cache depends` shows one depends on, the one that begins with `start`.
fn depended_on<'a>(depends: &'a str, start: &str) -> Option<&'a str> {
    depends
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("Depends: "))
        .find(|name| name.starts_with(start))
}

/// Names of packages in the output of `apt-cache depends --recurse`: the roots, what a root
/// depends on and what these are (a root may be empty but for a dependency), and libraries.
/// Debian's policy, section 8.1, names the packages of shared libraries after them; zlib is older.
fn names(roots: &[&str], depends: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = roots.iter().map(|&root| root.into()).collect();
    for line in depends.lines().filter(|line| !line.starts_with(' ')) {
        let is_library = line.starts_with("lib") || line == "zlib1g";
        let has_version = ["linux-image-", "xen-utils-"];
        let is_newest = has_version.iter().any(|start| line.starts_with(start));
        if is_library || is_newest {
            names.insert(line.into());
        }
    }
    names
}

/// Reads lines of `'URI' FILE SIZE HASH`.
fn parse_uris(text: &str) -> anyhow::Result<Vec<Package>> {
    let mut packages = text
        .lines()
        .map(parse_uri)
        .collect::<anyhow::Result<Vec<_>>>()?;
    packages.sort_by(|one, other| one.file_name.cmp(&other.file_name));
    Ok(packages)
}

fn parse_uri(line: &str) -> anyhow::Result<Package> {
    let fields: Vec<_> = line.split(' ').collect();
    let [_, file_name, bytes, hash] = fields[..] else {
        bail!("apt-get says {line:?}, not address, file, size and hash");
    };
    let (name, _) = file_name.split_once('_').unwrap_or((file_name, ""));
    if file_name.contains('/') {
        bail!("apt-get names a file {file_name:?}");
    }
    Ok(Package {
        name: name.into(),
        file_name: file_name.into(),
        bytes: bytes.parse().with_context(|| format!("size in {line:?}"))?,
        hash: hash.into(),
    })
}

/// Downloads what is not in `store` yet, of a release. apt-get checks the hashes.
///
/// # Errors
/// The download failed; the error has the remedy.
pub(crate) fn download(
    release: &Release,
    packages: &[Package],
    store: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    super::create_directory(store)?;
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| {
            let file = fs::metadata(store.join(&package.file_name));
            !file.is_ok_and(|file| file.len() == package.bytes)
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let megabytes = missing.iter().map(|package| package.bytes).sum::<u64>() / 1_000_000;
    let title = format!(
        "downloading {} Debian packages, {megabytes} MB",
        missing.len()
    );
    writeln!(out, "{title}")?;
    let mut download = release.command("apt-get");
    download
        .current_dir(store)
        // Root's downloads are done by a user who may not write here.
        .args(["-o", "APT::Sandbox::User=root", "-q", "download"])
        .args(missing.iter().map(|package| &package.name));
    progress::during(&title, || output(&mut download)).context(
        "Debian's packages cannot be downloaded; \
         is there a network? are the lists old? run: apt-get update",
    )?;
    Ok(())
}

/// Unpacks all `packages` into one directory.
pub(crate) fn unpack(packages: &[Package], store: &Path, directory: &Path) -> anyhow::Result<()> {
    for package in packages {
        let mut unpack = Command::new("dpkg-deb");
        unpack
            .arg("--extract")
            .arg(store.join(&package.file_name))
            .arg(directory);
        output(&mut unpack)?;
    }
    Ok(())
}

/// Of a program's messages so many lines are shown: apt-get may have one for each package.
const MAX_REASONS: usize = 3;

/// What a program writes when it succeeds.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} does not run"))?;
    if !output.status.success() {
        let reasons = String::from_utf8_lossy(&output.stderr);
        let first: Vec<_> = reasons.lines().take(MAX_REASONS).collect();
        bail!("{program} failed: {}", first.join("; "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_newest_linux_are_taken_along() {
        let depends = "\
linux-image-cloud-amd64
  Depends: linux-image-6.1.0-56-cloud-amd64
linux-image-6.1.0-56-cloud-amd64
  Depends: kmod
 |Depends: initramfs-tools
  Depends: <linux-initramfs-tool>
    dracut
kmod
  Depends: libkmod2
<linux-initramfs-tool>
libkmod2
qemu-system-x86
";
        let names = names(&["linux-image-cloud-amd64", "qemu-system-x86"], depends);
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "libkmod2",
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-cloud-amd64",
                "qemu-system-x86"
            ]
        );
    }

    #[test]
    fn a_dependency_is_found_by_how_it_begins() {
        let depends = "\
xen-system-amd64
  Depends: xen-hypervisor-4.17-amd64
  Depends: xen-hypervisor-common
";
        assert_eq!(
            depended_on(depends, "xen-hypervisor-"),
            Some("xen-hypervisor-4.17-amd64")
        );
        assert_eq!(depended_on(depends, "xen-system-"), None);
    }

    #[test]
    fn addresses_are_read_and_sorted() {
        let text = "\
'http://host/pool/q_1%3a2.deb' qemu-system-x86_1%3a7.2+b3_amd64.deb 9281168 SHA256:ab
'http://host/pool/b.deb' busybox-static_1%3a1.35_amd64.deb 928188 SHA256:3d
";
        let packages = parse_uris(text).unwrap();
        assert_eq!(packages[0].name, "busybox-static");
        let expected = Package {
            name: "qemu-system-x86".into(),
            file_name: "qemu-system-x86_1%3a7.2+b3_amd64.deb".into(),
            bytes: 9_281_168,
            hash: "SHA256:ab".into(),
        };
        assert_eq!(packages[1], expected);
        for bad in [
            "",
            "'http://host/a' a 1",
            "'x' a b SHA256:1",
            "'x' ../a 1 SHA256:1",
        ] {
            assert!(parse_uris(&format!("{bad}\n")).is_err(), "{bad}");
        }
    }
}
