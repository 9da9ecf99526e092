//! What pvops costs a kernel in bytes: the minimal kernel with more and more of it, less the same kernel
//! without.

use std::fs;
use std::io::{self, Write};
use std::ops::Sub;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, SectionFlags};
use pvops_core::DECLARATIONS;
use pvops_tests::image::Image;
use pvops_tests::sites::{Sites, SitesError};

use crate::example;
use crate::step::{self, End};
use crate::table;
use crate::tally::Tally;

/// A kernel that is measured.
struct Variant {
    title: &'static str,
    package: &'static str,
    /// Cargo's options that choose it, and the name of the executable.
    options: &'static [&'static str],
    executable: &'static str,
    /// The backends whose code is in it; no other's may be.
    backends: &'static [&'static str],
}

/// The kernels to measure against.
pub(super) const PACKAGE: &str = "size-reference";
/// The one of them that takes only the clock.
pub(super) const CLOCK: &str = "clock";

/// What the others are measured against.
const NOTHING: Variant = Variant {
    title: "nothing",
    package: PACKAGE,
    options: &["--bin", "nothing"],
    executable: "nothing",
    backends: &[],
};

const ALL: Variant = Variant {
    title: "native, KVM and Xen",
    package: super::NAME,
    options: &[],
    executable: super::NAME,
    backends: &["native", "kvm", "xen"],
};

const NATIVE_AND_KVM: Variant = Variant {
    title: "native and KVM",
    options: &["--no-default-features", "--features", "kvm"],
    backends: &["native", "kvm"],
    ..ALL
};

static VARIANTS: [Variant; 5] = [
    Variant {
        title: "the clock only",
        options: &["--bin", CLOCK],
        executable: CLOCK,
        ..NOTHING
    },
    Variant {
        title: "native",
        options: &["--no-default-features"],
        backends: &["native"],
        ..ALL
    },
    NATIVE_AND_KVM,
    Variant {
        title: "native, KVM and a lock",
        options: &["--no-default-features", "--features", "kvm,lock"],
        ..NATIVE_AND_KVM
    },
    ALL,
];

/// What native and KVM may cost at most, text and read-only data together.
const LIMIT: u64 = 64 << 10;
/// What a site may cost besides its text.
const RECORD_LIMIT: usize = 12;

/// Bytes of a kernel, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    text: u64,
    read_only: u64,
    data: u64,
    /// In memory, but not in the file.
    zeroed: u64,
}

impl Sub for Sizes {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            text: self.text.saturating_sub(other.text),
            read_only: self.read_only.saturating_sub(other.read_only),
            data: self.data.saturating_sub(other.data),
            zeroed: self.zeroed.saturating_sub(other.zeroed),
        }
    }
}

/// Builds all variants, checks what is linked into each, and prints the costs.
pub(super) fn test(tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    step::run("minimal kernel: sizes", tally, out, || {
        let (nothing, _) = measure(&NOTHING)?;
        for variant in &VARIANTS {
            let (sizes, sites) = measure(variant)?;
            let cost = sizes - nothing;
            if variant.title == NATIVE_AND_KVM.title && cost.text + cost.read_only > LIMIT {
                bail!("native and KVM cost {cost:?}, more than {LIMIT} bytes");
            }
            let numbers = [cost.text, cost.read_only, cost.data, cost.zeroed, sites];
            let numbers = numbers.iter().map(u64::to_string);
            rows.push([variant.title.into()].into_iter().chain(numbers).collect());
        }
        Ok(End::Passed(String::new()))
    })?;
    if rows.is_empty() {
        return Ok(());
    }
    let header = [
        "bytes that pvops costs",
        "text",
        "read-only",
        "data",
        "zeroed",
        "sites",
    ];
    table::print(out, &header, &rows)
}

/// Builds it; gives its sizes and its number of call sites.
fn measure(variant: &Variant) -> anyhow::Result<(Sizes, u64)> {
    let options = [
        &["--release", "--package", variant.package],
        variant.options,
    ]
    .concat();
    let path = match example::build(super::NAME, variant.executable, &options)? {
        Ok(path) => path,
        Err(messages) => bail!("{}", String::from_utf8_lossy(&messages)),
    };
    let file = fs::read(&path).with_context(|| path.display().to_string())?;
    check(variant, &path, &file)
}

fn check(variant: &Variant, path: &Path, file: &[u8]) -> anyhow::Result<(Sizes, u64)> {
    let shown = path.display();
    let image = Image::parse(file).map_err(|error| anyhow!("{shown} {error}"))?;
    for backend in ["native", "kvm", "xen", "vmi"] {
        let crate_name = format!("pvops_backend_{backend}");
        let mut symbols = image.symbols().iter();
        let found = symbols.find(|symbol| symbol.name().contains(&crate_name));
        let wanted = variant.backends.contains(&backend);
        match (wanted, found) {
            (true, None) => bail!("{}: there is no symbol of {backend}", variant.title),
            (false, Some(symbol)) => bail!("{}: there is {}", variant.title, symbol.name()),
            _ => {}
        }
    }
    let sites = match variant.backends {
        [] if !matches!(Sites::read(&image), Err(SitesError::None)) => {
            bail!("{}: there are call sites", variant.title)
        }
        [] => 0,
        _ => check_sites(&image)?,
    };
    Ok((sizes(file)?, sites))
}

/// That each site is as long as its op says, 6 bytes unless told, and what it costs besides. Gives their
/// number.
fn check_sites(image: &Image<'_>) -> anyhow::Result<u64> {
    let sites = Sites::read(image).map_err(|error| anyhow!("{error}"))?;
    for site in &sites.sites {
        let name = sites.op_name(site);
        let declared = DECLARATIONS.iter().find(|op| op.name == name);
        let [declared, _] = declared.context("an unknown op")?.site_lengths;
        if site.bytes.len() != usize::from(declared) {
            bail!("a site of {name} has {} bytes", site.bytes.len());
        }
    }
    let records = image.sections_named("pvops_sites");
    let bytes: usize = records.map(|section| section.data.len()).sum();
    let count = sites.sites.len();
    if bytes > count * RECORD_LIMIT {
        bail!("{count} sites have records of {bytes} bytes");
    }
    Ok(count as u64)
}

fn sizes(file: &[u8]) -> anyhow::Result<Sizes> {
    let elf: ElfFile64<'_> = ElfFile64::parse(file)?;
    let mut sizes = Sizes::default();
    for section in elf.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        let has = |flag| sh_flags.contains(flag);
        let is_filled = section.file_range().is_some();
        // The linker fills a page with it.
        if !has(SHF_ALLOC) || section.name() == Ok(".relro_padding") {
            continue;
        }
        let kind = match (has(SHF_EXECINSTR), has(SHF_WRITE), is_filled) {
            (true, ..) => &mut sizes.text,
            (_, false, _) => &mut sizes.read_only,
            (_, true, true) => &mut sizes.data,
            (_, true, false) => &mut sizes.zeroed,
        };
        *kind += section.size();
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_tests::sample::Sample;

    #[test]
    fn sites_and_symbols_are_looked_at() {
        let checked = |variant: &Variant, sample: &Sample| {
            check(variant, Path::new("sample"), &sample.build()).map_err(|error| error.to_string())
        };
        let sample = Sample::without_sites(&[0x90; 16], &[]);
        let (sizes, sites) = checked(&NOTHING, &sample).unwrap();
        assert_eq!((sizes.text, sites), (16, 0));
        assert_eq!(
            checked(&NATIVE_AND_KVM, &sample).unwrap_err(),
            "native and KVM: there is no symbol of native"
        );
        let symbols = [("_ZN17pvops_backend_xen5clock3nowE", 0, 16)];
        let sample = Sample::without_sites(&[0x90; 16], &symbols);
        assert_eq!(
            checked(&NOTHING, &sample).unwrap_err(),
            "nothing: there is pvops_backend_xen::clock::now"
        );
    }
}
