//! Which release of Debian packages are of: this machine's, or another, with its lists in a directory of ours.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::packages::output;
use crate::{progress, setup};

/// A release, by what apt has to be told.
pub(crate) struct Release {
    /// Nothing for this machine's.
    options: Vec<String>,
}

impl Release {
    /// This machine's, whatever its sources are.
    pub(crate) const THIS: Self = Release {
        options: Vec::new(),
    };

    /// The one with this code name, of the archive that this machine uses. What apt notes of it is kept in
    /// `directory`, apart from what is installed here.
    ///
    /// # Errors
    /// This machine's apt knows no archive of Debian's; the error has the remedy.
    pub(crate) fn named(
        code_name: &str,
        directory: &Path,
        out: &mut dyn Write,
    ) -> anyhow::Result<Self> {
        let archive = archive().or_else(|_| {
            setup::package_lists(out)?;
            archive()
        })?;
        let directory = directory.join(code_name);
        for part in ["lists/partial", "cache"] {
            let part = directory.join(part);
            fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
        }
        let directory = fs::canonicalize(&directory)?;
        let sources = directory.join("sources.list");
        fs::write(&sources, format!("deb {archive} {code_name} main\n"))
            .with_context(|| sources.display().to_string())?;
        let at = |name| directory.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=-".into(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::State::Status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "Acquire::Languages=none".into(),
            // As of packages: root's downloads are done by a user who may not write here.
            "APT::Sandbox::User=root".into(),
        ];
        // Nothing is installed of it.
        fs::write(directory.join("status"), "")?;
        Ok(Release {
            options: options.into(),
        })
    }

    /// One of apt's programs, for this release.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// Brings apt's lists up to date.
    pub(super) fn update_lists(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.options.is_empty() {
            return setup::package_lists(out);
        }
        let title = "getting the list of another release's packages";
        writeln!(out, "{title}")?;
        let mut update = self.command("apt-get");
        update.args(["-q", "update"]);
        progress::during(title, || output(&mut update)).context(
            "the lists of another release of Debian can't be had; is there a network, and the newest \
             debian-archive-keyring? run: apt-get install debian-archive-keyring",
        )?;
        Ok(())
    }
}

/// Where this machine's packages of Debian come from.
fn archive() -> anyhow::Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)"]);
    targets.args(["Created-By: Packages", "Label: Debian"]);
    match output(&mut targets)?.lines().next() {
        Some(archive) => Ok(archive.into()),
        None => bail!("apt knows no archive of Debian's; run: apt-get update"),
    }
}
