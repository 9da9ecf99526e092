//! Kernel modules, in the order in which they can be loaded.
//!
//! Debian's packages have no modules.dep (depmod writes it after installation), so that each
//! module is asked itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use object::LittleEndian;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use super::tree::Tree;

/// A module that can be loaded.
pub(crate) struct Module {
    /// As Linux says it, with `_`.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    depends: Vec<String>,
}

/// `names` and all modules that they depend on, each after those that it depends on.
pub(crate) fn closure(tree: &Tree, names: &[&str]) -> anyhow::Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    for directory in ["lib/modules", "usr/lib/modules"] {
        for (file, path) in tree.files_under(directory)? {
            if let Some(name) = file.strip_suffix(".ko") {
                files.insert(canonical(name), path);
            }
        }
    }
    order(names, &mut |name| read(&files, name))
}

fn read(files: &BTreeMap<String, PathBuf>, name: &str) -> anyhow::Result<Module> {
    let path = files
        .get(name)
        .with_context(|| format!("the package of Linux has no uncompressed module {name}"))?;
    let content = fs::read(path).with_context(|| path.display().to_string())?;
    let depends = depends(&content).with_context(|| path.display().to_string())?;
    Ok(Module {
        name: name.into(),
        content,
        depends,
    })
}

/// Depth first.
fn order(
    names: &[&str],
    read: &mut dyn FnMut(&str) -> anyhow::Result<Module>,
) -> anyhow::Result<Vec<Module>> {
    let mut ordered = Vec::new();
    for name in names {
        visit(&canonical(name), read, &mut Vec::new(), &mut ordered)?;
    }
    Ok(ordered)
}

/// `users` are the modules on the way to this one.
fn visit(
    name: &str,
    read: &mut dyn FnMut(&str) -> anyhow::Result<Module>,
    users: &mut Vec<String>,
    ordered: &mut Vec<Module>,
) -> anyhow::Result<()> {
    if ordered.iter().any(|done| done.name == name) {
        return Ok(());
    }
    if users.iter().any(|user| user == name) {
        bail!("module {name} depends on itself");
    }
    users.push(name.into());
    let module = read(name)?;
    for other in &module.depends {
        visit(other, read, users, ordered)?;
    }
    users.pop();
    ordered.push(module);
    Ok(())
}

/// Names use `-` and `_` as they like.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The words of `depends=` in section .modinfo, which is a list of C strings.
fn depends(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let elf = ElfFile64::<LittleEndian>::parse(module)?;
    let section = elf.section_by_name(".modinfo").context("no .modinfo")?;
    Ok(depends_in(section.data()?))
}

fn depends_in(information: &[u8]) -> Vec<String> {
    information
        .split(|&byte| byte == 0)
        .filter_map(|field| str::from_utf8(field).ok()?.strip_prefix("depends="))
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(canonical)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_the_words_of_one_field() {
        let information = b"license=GPL\0depends=kvm,irq-bypass\0srcdepends=no\0\0";
        assert_eq!(depends_in(information), ["kvm", "irq_bypass"]);
        assert!(depends_in(b"license=GPL\0depends=\0").is_empty());
    }

    fn ordered(names: &[&str], graph: &[(&str, &[&str])]) -> anyhow::Result<Vec<String>> {
        let modules = order(names, &mut |name| {
            let found = graph.iter().find(|(module, _)| *module == name);
            let (_, depends) = found.with_context(|| name.to_string())?;
            Ok(Module {
                name: name.into(),
                content: vec![],
                depends: depends.iter().map(|&name| name.into()).collect(),
            })
        })?;
        Ok(modules.into_iter().map(|module| module.name).collect())
    }

    #[test]
    fn a_module_comes_after_all_that_it_depends_on_and_once() {
        let graph: &[(&str, &[&str])] = &[
            ("kvm", &["irqbypass"]),
            ("kvm_amd", &["kvm", "ccp"]),
            ("irqbypass", &[]),
            ("ccp", &["irqbypass"]),
        ];
        assert_eq!(
            ordered(&["kvm-amd", "kvm"], graph).unwrap(),
            ["irqbypass", "kvm", "ccp", "kvm_amd"]
        );
        assert!(ordered(&["kvm_intel"], graph).is_err());
        assert!(ordered(&["a"], &[("a", &["b"]), ("b", &["a"])]).is_err());
    }
}
