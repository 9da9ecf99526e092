//! What became of the call sites of a kernel that runs: of a VMI ROM's relocations only the ROM knows.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, bail};
use pvops_core::binding::Outcome;
use pvops_tests::disassembly::{Disassembler, decode};
use pvops_tests::sites::Site;

use super::forecast::Replacement;
use crate::kernel::{self, WordSize};
use crate::lab::Lab;
use crate::outcome;
use crate::qemu::Options;
use crate::transcript::{Transcript, Verdict};
use crate::{scenario, setup, table};

/// The backend that is shown so.
pub(super) const BACKEND: &str = "vmi";
const SCENARIO: &str = "vmi-plain";

/// Builds the 32-bit kernel, boots it with the VMI ROM, and lists its sites and the ROM's relocations.
pub(super) fn run(out: &mut dyn Write) -> anyhow::Result<outcome::Outcome> {
    let mut messages = Vec::new();
    let qemu = setup::qemu(&mut messages)?;
    let Some(kernel) = kernel::build(WordSize::Bits32, &mut messages)? else {
        out.write_all(&messages)?;
        return Ok(outcome::Outcome::Failed);
    };
    let mut lab = Lab::new(qemu);
    lab.add_kernel(WordSize::Bits32, kernel.clone());
    let options = Options {
        smp: 1,
        mem: 128,
        cmdline: "list-sites only=irq.flags",
        cpu_flags: "",
    };
    let report = lab.boot_one(scenario::find(SCENARIO)?, &options, &mut messages)?;
    if report.verdict != Verdict::Pass {
        out.write_all(&messages)?;
        bail!("the kernel that was to tell its sites did not pass");
    }
    let running = Running::new(&report.transcript);
    let path = kernel.display().to_string();
    let file = std::fs::read(&kernel).with_context(|| path.clone())?;
    let outcome = super::list(&path, &file, BACKEND, out, &mut |site, _, disassembler| {
        running.of(site, disassembler)
    })?;
    writeln!(out)?;
    running.print(out)?;
    Ok(outcome)
}

/// What the kernel has told.
struct Running<'a> {
    sites: &'a BTreeMap<u64, Vec<u8>>,
    relocations: &'a [Relocation],
}

/// What the ROM has said of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relocation {
    pub(crate) call: String,
    pub(crate) kind: String,
    /// Of the code; 0 if there is none.
    pub(crate) address: u64,
}

impl<'a> Running<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        Self {
            sites: &transcript.sites,
            relocations: &transcript.relocations,
        }
    }

    fn of(&self, site: &Site<'_>, disassembler: &mut Disassembler) -> Replacement {
        let Some(bytes) = self.sites.get(&site.address) else {
            return Replacement::unknown("the running kernel did not tell");
        };
        let known: Vec<_> = bytes.iter().copied().map(Some).collect();
        Replacement {
            outcome: Some(outcome(bytes)),
            bytes: super::hexadecimal(&known),
            instructions: self.instructions(site, bytes, disassembler),
        }
    }

    /// As they are, and whose code it is that is called or jumped to if that is the ROM's.
    fn instructions(
        &self,
        site: &Site<'_>,
        bytes: &[u8],
        disassembler: &mut Disassembler,
    ) -> String {
        let text = disassembler.one_line(bytes, site.address);
        let target = decode(32, bytes, site.address)
            .map(|instruction| instruction.near_branch_target())
            .find(|&target| target != 0);
        let relocation = self
            .relocations
            .iter()
            .find(|relocation| Some(relocation.address) == target);
        match relocation {
            Some(relocation) => format!("{text} (VMI_{})", relocation.call),
            None => text,
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = self
            .relocations
            .iter()
            .map(|relocation| {
                let address = match relocation.address {
                    0 => "-".into(),
                    address => format!("{address:#x}"),
                };
                vec![relocation.call.clone(), relocation.kind.clone(), address]
            })
            .collect();
        table::print(out, &["VMI call", "relocation", "code"], &rows)
    }
}

/// What a site has become, by its first instruction that does something.
fn outcome(bytes: &[u8]) -> Outcome {
    use pvops_tests::disassembly::Mnemonic;
    let mut mnemonics = decode(32, bytes, 0).map(|instruction| instruction.mnemonic());
    match mnemonics.find(|&mnemonic| mnemonic != Mnemonic::Nop) {
        None => Outcome::Nop,
        Some(Mnemonic::Call) => Outcome::Call,
        Some(Mnemonic::Jmp) => Outcome::Jump,
        Some(Mnemonic::Ud2) => Outcome::Trap,
        Some(_) => Outcome::Inline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_what_the_site_does() {
        assert_eq!(outcome(&[0x2e, 0xe8, 1, 0, 0, 0]), Outcome::Call);
        assert_eq!(outcome(&[0xe9, 1, 0, 0, 0, 0x90]), Outcome::Jump);
        assert_eq!(outcome(&[0x66, 0x0f, 0x1f, 0x44, 0, 0]), Outcome::Nop);
        assert_eq!(outcome(&[0x90, 0x0f, 0x0b]), Outcome::Trap);
        assert_eq!(outcome(&[0x3e, 0x3e, 0xfa]), Outcome::Inline);
    }
}
