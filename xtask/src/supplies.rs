//! What boots need beside a kernel: VMI ROMs, Xen, appliances. Each is made when it is first asked for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::appliance::{Appliance, Built};
use crate::kernel::{self, WordSize};
use crate::scenario::Scenario;
use crate::{vmi_rom, xen};

/// What was made so far, or why it can't be.
#[derive(Default)]
pub(crate) struct Supplies {
    /// By name.
    appliances: BTreeMap<&'static str, Result<Built, String>>,
    /// By the word size of its guests, and the release of Debian: where Xen is.
    hypervisors: BTreeMap<(WordSize, Option<&'static str>), Result<PathBuf, String>>,
    /// Where the VMI ROMs are.
    rom_directory: Option<PathBuf>,
}

impl Supplies {
    /// Where the scenario's ROMs are; builds all if it is the first time that one is asked for.
    pub(crate) fn roms(
        &mut self,
        scenario: &Scenario,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Vec<PathBuf>, String>> {
        if scenario.roms.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        if self.rom_directory.is_none() {
            match vmi_rom::build_all(out)? {
                Ok(directory) => self.rom_directory = Some(directory),
                Err(messages) => return Ok(Err(String::from_utf8_lossy(&messages).into_owned())),
            }
        }
        let directory = self.rom_directory.as_deref().unwrap_or(Path::new(""));
        let path = |name| directory.join(format!("{name}.rom"));
        Ok(Ok(scenario.roms.iter().map(path).collect()))
    }

    /// Unpacks it if it is the first time that it is asked for.
    pub(crate) fn hypervisor(
        &mut self,
        kernel: &Path,
        scenario: &Scenario,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<PathBuf, String>> {
        let kind = (scenario.word_size, scenario.release);
        if let Some(known) = self.hypervisors.get(&kind) {
            return Ok(known.clone());
        }
        let target = directory(kernel)?;
        let found = xen::hypervisor(&target, kind.0, kind.1, out)?;
        self.hypervisors.insert(kind, found.clone());
        Ok(found)
    }

    /// Builds it if it is the first time that it is asked for.
    pub(crate) fn appliance(
        &mut self,
        kernel: &Path,
        appliance: &Appliance,
        out: &mut dyn Write,
    ) -> anyhow::Result<Result<Built, String>> {
        if let Some(known) = self.appliances.get(appliance.name) {
            return Ok(known.clone());
        }
        let target = directory(kernel)?;
        let built = appliance.build(&target, out)?;
        self.appliances.insert(appliance.name, built.clone());
        Ok(built)
    }
}

/// Where what was made of packages is kept.
pub(crate) fn directory(kernel: &Path) -> anyhow::Result<PathBuf> {
    Ok(kernel::target_directory(kernel)?.join("appliance"))
}
