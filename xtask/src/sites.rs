//! `cargo xtask sites`: every call site of an ELF, and what stands there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use pvops_tests::disassembly::Disassembler;
use pvops_tests::image::Image;
use pvops_tests::sites::{Site, Sites};

use crate::cli::SitesArguments;
use crate::outcome::Outcome;
use crate::{kernel, table};

/// Lists the call sites of the file given, or of the demo kernel.
pub(crate) fn run(arguments: &SitesArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let path = match &arguments.elf {
        Some(path) => path.clone(),
        None => match built_kernel()? {
            Ok(path) => path,
            Err(messages) => {
                out.write_all(&messages)?;
                return Ok(Outcome::Failed);
            }
        },
    };
    let path_text = path.display().to_string();
    let file = fs::read(&path).with_context(|| format!("cannot read {path_text}"))?;
    list(&path_text, &file, out)
}

/// What is said during the build is of interest only if it fails.
fn built_kernel() -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let mut messages = Vec::new();
    let kernel = kernel::build(&mut messages)?;
    Ok(kernel.ok_or(messages))
}

fn list(path: &str, file: &[u8], out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let image = Image::parse(file).map_err(|error| anyhow!("{path} {error}"))?;
    let sites = Sites::read(&image).map_err(|error| anyhow!("{path} {error}"))?;
    let header = ["address", "function", "op", "bytes now", "instructions now"];
    let mut disassembler = Disassembler::new(image.symbols());
    let rows: Vec<_> = sites
        .sites
        .iter()
        .map(|site| row(&image, &sites, site, &mut disassembler))
        .collect();
    table::print(out, &header, &rows)?;
    writeln!(out)?;
    print_totals(&sites, out)?;
    print_changed(&sites, out)
}

fn row(
    image: &Image<'_>,
    sites: &Sites<'_>,
    site: &Site<'_>,
    disassembler: &mut Disassembler,
) -> Vec<String> {
    let function = image.symbols().place(site.address);
    let mut cells = vec![
        format!("{:#018x}", site.address),
        function.map_or("?".to_string(), |place| place.name),
        sites.op_name(site).to_string(),
    ];
    cells.extend(code_cells(site.bytes, site.address, disassembler));
    cells
}

/// Bytes in hexadecimal, and the same disassembled.
fn code_cells(bytes: &[u8], address: u64, disassembler: &mut Disassembler) -> [String; 2] {
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [hex.join(" "), disassembler.one_line(bytes, address)]
}

fn print_totals(sites: &Sites<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut counts = BTreeMap::new();
    for site in &sites.sites {
        *counts.entry(site.op).or_insert(0) += 1;
    }
    let rows: Vec<_> = counts
        .iter()
        .map(|(&op, count)| vec![sites.op_names[usize::from(op)].into(), format!("{count}")])
        .collect();
    table::print(out, &["op", "sites"], &rows)?;
    writeln!(
        out,
        "\n{} call sites of {} ops; the image knows {} ops",
        sites.sites.len(),
        counts.len(),
        sites.op_names.len()
    )
}

/// Says which sites are not the call that patching expects. Without symbols the op table's
/// place is not known, so nothing can be said.
fn print_changed(sites: &Sites<'_>, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if sites.op_table.is_none() {
        writeln!(
            out,
            "no symbol pvops_op_table: the sites could not be verified"
        )?;
        return Ok(Outcome::Passed);
    }
    let mut outcome = Outcome::Passed;
    for site in &sites.sites {
        if sites.is_unpatched(site) == Some(false) {
            let name = sites.op_name(site);
            writeln!(out, "site {:#x} is not a call of {name}", site.address)?;
            outcome = Outcome::Failed;
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_tests::sample::Sample;

    fn listed(sample: &Sample) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = list("a.elf", &sample.build(), &mut out).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_site_has_its_function_op_bytes_and_instructions() {
        let (outcome, text) = listed(&Sample::new());
        assert_eq!(outcome, Outcome::Passed);
        let expected = "\
address             function  op             bytes now                instructions now
0xffffffff80200000  first     irq.disable    ff 15 fa ff 1f 00        call qword ptr [pvops_op_table]
0xffffffff80200007  second    cpu.write_msr  ff 15 fb ff 1f 00 90 90  call qword ptr [pvops_op_table+0x8]; 2 x nop

op             sites
irq.disable    1
cpu.write_msr  1

2 call sites of 2 ops; the image knows 2 ops
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_changed_site_is_named_and_fails() {
        let mut sample = Sample::new();
        sample.text[7] = 0xfa;
        let (outcome, text) = listed(&sample);
        assert_eq!(outcome, Outcome::Failed);
        assert!(text.ends_with("site 0xffffffff80200007 is not a call of cpu.write_msr\n"));
    }

    #[test]
    fn other_files_are_an_error_with_their_path() {
        let mut without_sites = Sample::new();
        without_sites.records.clear();
        for (file, expected) in [
            (b"text".to_vec(), "a.elf is not an ELF file"),
            (
                without_sites.build(),
                "a.elf links no pvops-core call sites",
            ),
        ] {
            let error = list("a.elf", &file, &mut Vec::new()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_apart_from_other_errors() {
        let error = list("a.elf", &Sample::new().build(), &mut ClosedPipe).unwrap_err();
        assert!(crate::is_broken_pipe(&error));
        let error = list("a.elf", b"", &mut ClosedPipe).unwrap_err();
        assert!(!crate::is_broken_pipe(&error));
    }
}
