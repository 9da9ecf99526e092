//! Xen's own file, as a loader wants it.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::GzDecoder;

use super::accessed_bit;
use crate::appliance::packages;
use crate::appliance::release::Release;
use crate::appliance::tree::Tree;
use crate::kernel::WordSize;

/// Names a Xen to take instead of Debian's.
const VARIABLE: &str = "PVOPS_XEN";

/// Depends on the package of Xen, whose name has the version in it.
const METAPACKAGE: &str = "xen-system-amd64";
const PACKAGE: &str = "xen-hypervisor-";

/// The path of a Xen for guests of that word size, uncompressed: the newest of the named release of Debian;
/// or the file that the environment variable `PVOPS_XEN` names, else the newest of this machine's Debian.
/// Kept in the directory `target`. When this machine has none, the inner error is the reason and the remedy.
pub(crate) fn hypervisor(
    target: &Path,
    word_size: WordSize,
    release: Option<&str>,
    out: &mut dyn Write,
) -> anyhow::Result<Result<PathBuf, String>> {
    let file = match (release, std::env::var_os(VARIABLE)) {
        (None, Some(path)) => {
            let named = || format!("{VARIABLE}={}", path.display());
            fs::read(&path).with_context(named)?
        }
        _ => match debians(target, release, out) {
            Ok(file) => file,
            Err(error) if release.is_some() => return Ok(Err(format!("{error:#}"))),
            Err(error) => return Ok(Err(format!("{error:#}; or set {VARIABLE} to a Xen"))),
        },
    };
    let mut file = uncompressed(file)?;
    let mut name = release.map_or("xen".into(), |release| format!("xen-{release}"));
    if word_size == WordSize::Bits32 {
        if let Err(reason) = accessed_bit::allow(&mut file) {
            return Ok(Err(reason));
        }
        name += "-32";
    }
    let path = target.join(name);
    fs::create_dir_all(target).with_context(|| target.display().to_string())?;
    fs::write(&path, file).with_context(|| path.display().to_string())?;
    Ok(Ok(path))
}

fn debians(target: &Path, release: Option<&str>, out: &mut dyn Write) -> anyhow::Result<Vec<u8>> {
    let release = match release {
        None => Release::THIS,
        Some(code_name) => Release::named(code_name, target, out)?,
    };
    let package = [packages::dependency(&release, METAPACKAGE, PACKAGE, out)?];
    let store = target.join("packages");
    packages::download(&release, &package, &store, out)?;
    let unpacked = target.join("xen-unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    packages::unpack(&package, &store, &unpacked)?;
    let path = Tree::new(unpacked.clone()).only_file("boot", "xen-", ".gz")?;
    let file = fs::read(&path).with_context(|| path.display().to_string())?;
    fs::remove_dir_all(&unpacked).with_context(|| unpacked.display().to_string())?;
    Ok(file)
}

/// What is in a file that gzip may have made (RFC 1952, section 2.3.1: how it begins).
fn uncompressed(file: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !file.starts_with(&[0x1f, 0x8b]) {
        return Ok(file);
    }
    let mut content = Vec::new();
    GzDecoder::new(&file[..])
        .read_to_end(&mut content)
        .context("Xen cannot be uncompressed")?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    #[test]
    fn compressed_or_not_the_content_is_the_same() {
        let content = b"\x7fELF and more".to_vec();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content).unwrap();
        let mut compressed = encoder.finish().unwrap();
        assert_eq!(uncompressed(compressed.clone()).unwrap(), content);
        assert_eq!(uncompressed(content.clone()).unwrap(), content);
        compressed.truncate(compressed.len() - 3);
        assert!(uncompressed(compressed).is_err());
    }
}
