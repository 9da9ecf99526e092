//! A directory that stands for the root of a file system, as packages unpack into it.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

/// So many symbolic links are followed on the way to one file.
const MAX_LINKS: usize = 16;

/// The root; all paths are relative to it.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The content of a file. Symbolic links lead to files of the tree, not of this machine.
    pub(crate) fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.try_read(path)?
            .with_context(|| format!("no package has the file /{path}"))
    }

    /// The same, and `None` where no such file is.
    pub(crate) fn try_read(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let mut path = PathBuf::from(path);
        for _ in 0..MAX_LINKS {
            match self.step(&path) {
                ControlFlow::Continue(target) => path = target,
                ControlFlow::Break(path) => {
                    return match fs::read(self.root.join(&path)) {
                        Ok(content) => Ok(Some(content)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                        Err(error) => Err(error).with_context(|| path.display().to_string()),
                    };
                }
            }
        }
        bail!("/{}: too many symbolic links", path.display())
    }

    /// The only file in `directory` whose name begins with `start` and ends with `end`.
    pub(crate) fn only_file(
        &self,
        directory: &str,
        start: &str,
        end: &str,
    ) -> anyhow::Result<PathBuf> {
        let listed = fs::read_dir(self.root.join(directory))
            .with_context(|| format!("no package has /{directory}"))?;
        let mut found = Vec::new();
        for entry in listed {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(start) && name.ends_with(end) {
                found.push(entry.path());
            }
        }
        match <[PathBuf; 1]>::try_from(found) {
            Ok([file]) => Ok(file),
            Err(found) => bail!("{} files /{directory}/{start}*{end}, not one", found.len()),
        }
    }

    /// The only path that `pattern` stands for; a `*` in the name of one directory is any text.
    pub(crate) fn only_match(&self, pattern: &str) -> anyhow::Result<String> {
        let Some((before, after)) = pattern.split_once('*') else {
            return Ok(pattern.into());
        };
        let (directory, start) = before.rsplit_once('/').unwrap_or(("", before));
        let (end, rest) = after.split_once('/').unwrap_or((after, ""));
        let found = self.only_file(directory, start, end)?;
        let name = found.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("{directory}/{name}/{rest}"))
    }

    /// All files under `directory`, with their names; none if it does not exist.
    pub(crate) fn files_under(&self, directory: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
        let mut directories = vec![self.root.join(directory)];
        let mut files = Vec::new();
        while let Some(directory) = directories.pop() {
            let listed = match fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                listed => listed.with_context(|| directory.display().to_string())?,
            };
            for entry in listed {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    files.push((name, entry.path()));
                }
            }
        }
        Ok(files)
    }

    /// Goes on with the first symbolic link in `path` replaced; ends with a path without links,
    /// and without `..`.
    fn step(&self, path: &Path) -> ControlFlow<PathBuf, PathBuf> {
        let mut before = PathBuf::new();
        let mut rest = path.components();
        while let Some(component) = rest.next() {
            match component {
                Component::Normal(name) => before.push(name),
                // The parent of the root is the root.
                Component::ParentDir => drop(before.pop()),
                _ => {}
            }
            if let Ok(target) = fs::read_link(self.root.join(&before)) {
                before.pop();
                // Joining with an absolute target starts again at the root.
                let mut target = before.join(target);
                // An empty rest, if joined, would add a slash.
                target.extend(rest);
                return ControlFlow::Continue(target);
            }
        }
        ControlFlow::Break(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree that is gone when the test is over.
    struct Sample(Tree);

    impl Sample {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(root.join("lib/deep")).unwrap();
            fs::write(root.join("lib/deep/file-1"), "one").unwrap();
            Self(Tree::new(root))
        }

        fn link(&self, target: &str, path: &str) {
            symlink(target, self.0.root.join(path)).unwrap();
        }
    }

    impl Drop for Sample {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    #[test]
    fn links_stay_in_the_tree() {
        let sample = Sample::new("links");
        sample.link("deep/file-1", "lib/relative");
        sample.link("/lib/deep/file-1", "lib/absolute");
        sample.link("../../../lib/deep", "lib/above");
        sample.link("/etc/hostname", "lib/outside");
        sample.link("round", "lib/round");
        for path in [
            "lib/deep/file-1",
            "lib/relative",
            "lib/absolute",
            "lib/above/file-1",
        ] {
            assert_eq!(sample.0.read(path).unwrap(), b"one", "{path}");
        }
        let error = |path| sample.0.read(path).unwrap_err().to_string();
        assert_eq!(error("lib/outside"), "no package has the file /lib/outside");
        assert_eq!(error("lib/round"), "/lib/round: too many symbolic links");
    }

    #[test]
    fn files_are_found_by_directory() {
        let sample = Sample::new("files");
        let tree = &sample.0;
        assert!(
            tree.only_file("lib/deep", "file", "-1")
                .unwrap()
                .ends_with("lib/deep/file-1")
        );
        assert!(tree.only_file("lib", "file-", "").is_err());
        assert!(tree.only_file("lib/deep", "file-", ".gz").is_err());
        assert_eq!(
            tree.only_match("lib/d*p/file-1").unwrap(),
            "lib/deep/file-1"
        );
        assert_eq!(tree.only_match("lib/file").unwrap(), "lib/file");
        assert!(tree.only_match("lib/e*/file-1").is_err());
        let files = tree.files_under("lib").unwrap();
        assert_eq!(files[0].0, "file-1");
        assert!(tree.files_under("usr").unwrap().is_empty());
    }
}
