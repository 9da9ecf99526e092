//! The shared libraries of programs, read out of the files: nothing of a package is run here.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use object::LittleEndian;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

use super::tree::Tree;

/// Where Debian's packages have libraries, now and from before directories were merged.
const SOURCES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
];
/// Where all of them go: Debian's dynamic linker looks there without being told.
const DESTINATION: &str = "lib/x86_64-linux-gnu";

/// Programs, their dynamic linker and all libraries that they need: contents by path.
pub(crate) fn with_libraries(
    tree: &Tree,
    programs: &[&str],
) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut wanted = Vec::new();
    for path in programs {
        let path = tree.only_match(path)?;
        let content = tree.read(&path)?;
        let needs = needs(&content).with_context(|| format!("/{path}"))?;
        if let Some(linker) = needs.linker {
            let name = linker.rsplit('/').next().unwrap_or_default();
            let content = find(tree, name, &path)?;
            files.insert(linker.trim_start_matches('/').into(), content);
        }
        wanted.extend(needs.libraries.into_iter().map(|name| (name, path.clone())));
        files.insert(path, content);
    }
    while let Some((name, user)) = wanted.pop() {
        let path = format!("{DESTINATION}/{name}");
        if files.contains_key(&path) {
            continue;
        }
        let content = find(tree, &name, &user)?;
        let needs = needs(&content).with_context(|| name.clone())?;
        wanted.extend(
            needs
                .libraries
                .into_iter()
                .map(|needed| (needed, name.clone())),
        );
        files.insert(path, content);
    }
    Ok(files)
}

fn find(tree: &Tree, name: &str, user: &str) -> anyhow::Result<Vec<u8>> {
    for directory in SOURCES {
        if let Some(content) = tree.try_read(&format!("{directory}/{name}"))? {
            return Ok(content);
        }
    }
    // A library for few programs may be in a directory below, see dlopen's DT_RUNPATH.
    for directory in SOURCES {
        for (found, path) in tree.files_under(directory)? {
            if found == name {
                return std::fs::read(&path).with_context(|| path.display().to_string());
            }
        }
    }
    bail!("no package has {name}, which {user} needs")
}

#[derive(Debug, PartialEq, Eq)]
struct Needs {
    /// Path of the dynamic linker.
    linker: Option<String>,
    /// File names.
    libraries: Vec<String>,
}

/// What an ELF file asks for: PT_INTERP and DT_NEEDED, see the System V ABI, chapter 5.
fn needs(file: &[u8]) -> anyhow::Result<Needs> {
    let elf = ElfFile64::<LittleEndian>::parse(file)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
    let mut linker = None;
    let header: &FileHeader64<LittleEndian> = elf.elf_header();
    for segment in header.program_headers(LittleEndian, file)? {
        if segment.p_type(LittleEndian) == PT_INTERP
            && let Some(path) = segment.interpreter(LittleEndian, file)?
        {
            linker = Some(text(path)?);
        }
    }
    let dynamic = elf.elf_dynamic_table()?;
    let mut libraries = Vec::new();
    for entry in dynamic.iter() {
        if entry.tag == DT_NEEDED {
            libraries.push(text(dynamic.string(entry)?)?);
        }
    }
    Ok(Needs { linker, libraries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_names_its_linker_and_libraries() {
        // This test is one.
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&program).unwrap();
        assert!(needs.linker.unwrap().contains("ld-"));
        assert!(
            needs
                .libraries
                .iter()
                .any(|name| name.starts_with("libc.so"))
        );
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(needs(b"#!/bin/sh\n").is_err());
        assert!(needs(b"\x7fELF\x02\x01\x01").is_err());
    }
}
