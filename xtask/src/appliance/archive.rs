//! A cpio archive as Linux takes it for an initramfs: format "newc".

use std::collections::BTreeSet;
use std::io::{self, Write};

use cpio::newc;

/// File type and permissions, see inode(7). Scripts and programs need the right to run; nobody is
/// there from whom the rest should be kept.
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// An archive that is being written.
pub(crate) struct Archive<W: Write> {
    writer: W,
    entries: u32,
    /// Directories that are in it already; Linux makes none by itself.
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            entries: 0,
            directories: BTreeSet::new(),
        }
    }

    /// Adds a file, and the directories to it. `path` does not begin with a slash.
    pub(crate) fn add(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        for (end, _) in path.match_indices('/') {
            let directory = &path[..end];
            if self.directories.insert(directory.into()) {
                self.entry(directory, DIRECTORY, &[])?;
            }
        }
        self.entry(path, FILE, content)
    }

    /// Ends the archive. Linux wants what follows, such as another archive, at a multiple of 4.
    pub(crate) fn finish(self) -> io::Result<W> {
        newc::trailer(self.writer)
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut entry = newc::Builder::new(path)
            .ino(self.entries)
            .mode(mode)
            .nlink(1)
            .write(&mut self.writer, length);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }
}

/// The content of a file in an archive.
pub(crate) fn find(mut bytes: &[u8], path: &str) -> io::Result<Option<Vec<u8>>> {
    loop {
        let reader = newc::Reader::new(bytes)?;
        if reader.entry().is_trailer() {
            return Ok(None);
        }
        let is_wanted = reader.entry().name() == path;
        let mut content = Vec::new();
        if is_wanted {
            reader.to_writer(&mut content)?;
            return Ok(Some(content));
        }
        bytes = reader.finish()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (String, u32, Vec<u8>);

    /// The entries of one archive, and what is behind it.
    fn read(mut bytes: &[u8]) -> (Vec<Entry>, &[u8]) {
        let mut entries = Vec::new();
        loop {
            let reader = newc::Reader::new(bytes).unwrap();
            let (name, mode) = (reader.entry().name().to_string(), reader.entry().mode());
            if reader.entry().is_trailer() {
                return (entries, reader.finish().unwrap());
            }
            let mut content = Vec::new();
            bytes = reader.to_writer(&mut content).unwrap();
            entries.push((name, mode, content));
        }
    }

    #[test]
    fn files_come_after_their_directories_and_each_directory_once() {
        let mut archive = Archive::new(Vec::new());
        archive.add("init", b"#!/bin/sh\n").unwrap();
        archive.add("usr/share/one", b"1").unwrap();
        archive.add("usr/share/two", &[7; 1001]).unwrap();
        let bytes = archive.finish().unwrap();
        let expected = [
            ("init", 0o100_755, b"#!/bin/sh\n".to_vec()),
            ("usr", 0o040_755, vec![]),
            ("usr/share", 0o040_755, vec![]),
            ("usr/share/one", 0o100_755, b"1".to_vec()),
            ("usr/share/two", 0o100_755, vec![7; 1001]),
        ]
        .map(|(name, mode, content)| (name.to_string(), mode, content));
        assert_eq!(read(&bytes), (expected.to_vec(), &[][..]));
    }

    #[test]
    fn a_file_is_found_by_its_path() {
        let mut archive = Archive::new(Vec::new());
        archive.add("init", b"#!/bin/sh\n").unwrap();
        archive.add("usr/share/one", b"1").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(find(&bytes, "usr/share/one").unwrap().unwrap(), b"1");
        assert_eq!(find(&bytes, "one").unwrap(), None);
        assert!(find(b"070701", "one").is_err());
    }

    #[test]
    fn a_second_archive_can_follow() {
        for content in [&b""[..], b"1", b"12", b"123"] {
            let mut first = Archive::new(Vec::new());
            first.add("a", content).unwrap();
            let mut bytes = first.finish().unwrap();
            assert_eq!(bytes.len() % 4, 0);
            let mut second = Archive::new(&mut bytes);
            second.add("b", b"2").unwrap();
            second.finish().unwrap();
            let (entries, rest) = read(&bytes);
            assert_eq!(entries, [("a".to_string(), FILE, content.to_vec())]);
            let (entries, rest) = read(rest);
            assert_eq!(entries, [("b".to_string(), FILE, b"2".to_vec())]);
            assert!(rest.is_empty());
        }
    }
}
