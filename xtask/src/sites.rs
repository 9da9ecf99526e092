//! `cargo xtask sites`: every call site of an ELF, what stands there, and what a backend puts
//! there.

mod forecast;
mod own;
mod running;
mod totals;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use pvops_tests::disassembly::Disassembler;
use pvops_tests::image::Image;
use pvops_tests::sites::{Site, Sites};

pub(crate) use self::running::Relocation;

use self::forecast::{Forecast, Replacement};
use self::own::Own;
use self::totals::Totals;
use crate::cli::SitesArguments;
use crate::kernel::WordSize;
use crate::outcome::Outcome;
use crate::{kernel, table};

/// The names of all backends; the first is what is shown unless told.
pub(crate) fn backend_names() -> impl Iterator<Item = &'static str> {
    forecast::backend_names()
        .into_iter()
        .chain([running::BACKEND])
}

/// Lists the call sites of the file given, or of the demo kernel.
pub(crate) fn run(arguments: &SitesArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if arguments.backend == running::BACKEND {
        ensure!(
            arguments.elf.is_none(),
            "what a VMI ROM makes of sites is asked of the demo kernel, which runs; leave out the file"
        );
        return running::run(out);
    }
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
    forecast(&path_text, &file, &arguments.backend, out)
}

/// What is said during the build is of interest only if it fails.
fn built_kernel() -> anyhow::Result<Result<PathBuf, Vec<u8>>> {
    let mut messages = Vec::new();
    let kernel = kernel::build(WordSize::Bits64, &mut messages)?;
    Ok(kernel.ok_or(messages))
}

/// With what a backend would make of the sites.
fn forecast(
    path: &str,
    file: &[u8],
    backend: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let image = Image::parse(file).map_err(|error| anyhow!("{path} {error}"))?;
    let sites = Sites::read(&image).map_err(|error| anyhow!("{path} {error}"))?;
    let own_file = own::file()?;
    let forecast = Forecast::new(backend, &sites.op_names, &image, &Own::parse(&own_file)?)
        .with_context(|| format!("unknown backend {backend:?}"))?;
    list(path, file, backend, out, &mut |site, op, disassembler| {
        forecast.of(site, op, disassembler)
    })
}

/// What a site of the op with that name becomes.
type Replace<'a> = dyn FnMut(&Site<'_>, &str, &mut Disassembler) -> Replacement + 'a;

fn list(
    path: &str,
    file: &[u8],
    backend: &str,
    out: &mut dyn Write,
    replace: &mut Replace<'_>,
) -> anyhow::Result<Outcome> {
    let image = Image::parse(file).map_err(|error| anyhow!("{path} {error}"))?;
    let sites = Sites::read(&image).map_err(|error| anyhow!("{path} {error}"))?;
    let header = [
        "address",
        "function",
        "op",
        "bytes now",
        "instructions now",
        &format!("bytes with {backend}"),
        &format!("instructions with {backend}"),
    ];
    let mut disassembler = Disassembler::new(image.bits(), image.symbols());
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    for site in &sites.sites {
        let op = sites.op_name(site);
        let replacement = replace(site, op, &mut disassembler);
        totals.add(site.op, replacement.outcome);
        let function = image.symbols().place(site.address);
        let now: Vec<_> = site.bytes.iter().copied().map(Some).collect();
        rows.push(vec![
            format!("{:#018x}", site.address),
            function.map_or("?".to_string(), |place| place.name),
            op.to_string(),
            hexadecimal(&now),
            disassembler.one_line(site.bytes, site.address),
            replacement.bytes,
            replacement.instructions,
        ]);
    }
    table::print(out, &header, &rows)?;
    writeln!(out)?;
    totals.print(&sites.op_names, backend, out)?;
    print_changed(&sites, out)
}

/// Bytes with spaces between them; `??` for one that is not known.
fn hexadecimal(bytes: &[Option<u8>]) -> String {
    let digits = bytes.iter().map(|byte| match byte {
        Some(byte) => format!("{byte:02x}"),
        None => "??".into(),
    });
    digits.collect::<Vec<_>>().join(" ")
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
    use std::io;

    fn listed(sample: &Sample, backend: &str) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = forecast("a.elf", &sample.build(), backend, &mut out).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_site_has_its_function_op_bytes_and_instructions() {
        let (outcome, text) = listed(&Sample::new(), "native");
        assert_eq!(outcome, Outcome::Passed);
        let expected = "\
address             function  op             bytes now                instructions now                              bytes with native        instructions with native
0xffffffff80200000  first     irq.disable    ff 15 fa ff 1f 00        call qword ptr [pvops_op_table]               3e 3e 3e 3e 3e fa        cli
0xffffffff80200007  second    cpu.write_msr  ff 15 fb ff 1f 00 90 90  call qword ptr [pvops_op_table+0x8]; 2 x nop  3e 3e 3e 3e 3e 3e 0f 30  wrmsr

op             sites  with native
irq.disable    1      inline
cpu.write_msr  1      inline

2 call sites of 2 ops; the image knows 2 ops
native makes of them: 2 inline, 0 call, 0 jump, 0 nop, 0 trap
";
        assert_eq!(text, expected);
    }

    /// The row of the site of `op`, which is the second.
    fn row(op: &str, backend: &str) -> String {
        let mut sample = Sample::new();
        sample.op_names = format!("irq.disable\0{op}\0").into_bytes();
        let (_, text) = listed(&sample, backend);
        text.lines().nth(2).unwrap().to_string()
    }

    #[test]
    fn calls_nops_and_unknown_ops_are_shown() {
        let call = row("mmu.flush_tlb_all", "native");
        let expected = "2e e8 ?? ?? ?? ?? 66 90  call pvops_backend_native::mmu::flush_tlb_all (by a thunk); 2-byte nop";
        assert!(call.ends_with(expected), "{call}");
        let call = row("time.set_event", "native");
        assert!(
            call.contains("call pvops_backend_native::event::"),
            "{call}"
        );
        let nop = row("io.delay", "kvm");
        assert!(
            nop.ends_with("0f 1f 84 00 00 00 00 00  8-byte nop"),
            "{nop}"
        );
        let unknown = row("cpu.none", "native");
        assert!(
            unknown.ends_with("  -                  an op that this xtask does not know"),
            "{unknown}"
        );
    }

    #[test]
    fn a_function_that_the_image_has_gives_the_whole_call() {
        let mut sample = Sample::new();
        sample.op_names = b"irq.disable\0cpu.read_msr_safe\0".to_vec();
        let function = "_ZN20pvops_backend_native3cpu6x86_6413read_msr_safe17h0123456789abcdefE";
        sample.symbols[0].0 = function.into();
        let (_, text) = listed(&sample, "native");
        // From 0x...0d to 0x...00.
        let expected = "2e e8 f3 ff ff ff 66 90  call pvops_backend_native::cpu::x86_64::read_msr_safe; 2-byte nop";
        assert!(text.lines().nth(2).unwrap().ends_with(expected), "{text}");
    }

    #[test]
    fn a_changed_site_is_named_and_fails() {
        let mut sample = Sample::new();
        sample.text[7] = 0xfa;
        let (outcome, text) = listed(&sample, "native");
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
            let error = forecast("a.elf", &file, "native", &mut Vec::new()).unwrap_err();
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
        let error =
            forecast("a.elf", &Sample::new().build(), "native", &mut ClosedPipe).unwrap_err();
        assert!(crate::is_broken_pipe(&error));
        let error = forecast("a.elf", b"", "native", &mut ClosedPipe).unwrap_err();
        assert!(!crate::is_broken_pipe(&error));
    }
}
