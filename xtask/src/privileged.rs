//! Whether the kernel leaves privileged work to its backends.
//!
//! Every privileged or sensitive instruction in the ELF file must be in a place that is meant to
//! have it. Code that the linker inlined elsewhere is judged by where it is, so what may hold such
//! instructions must stay a function of its own.

use std::path::Path;

use anyhow::{Context, anyhow};
use pvops_tests::image::Image;
use pvops_tests::privileged::{self, Finding};

/// A place that may hold privileged instructions.
struct Permit {
    place: Place,
    /// The only instruction that may be there; `None` for any.
    only: Option<&'static str>,
}

enum Place {
    /// A crate or module, with all in it.
    Module(&'static str),
    Symbol(&'static str),
}

static PERMITS: [Permit; 17] = [
    any(Place::Module("pvops_backend_native")),
    any(Place::Module("pvops_backend_kvm")),
    any(Place::Module("pvops_backend_xen")),
    any(Place::Module("pvops_backend_vmi")),
    // The stub of that crate that Xen calls with events.
    only(Place::Symbol("xen_event"), "syscall"),
    // From the loader's world to the kernel's.
    any(Place::Symbol("pvh_entry")),
    any(Place::Symbol("multiboot2_entry")),
    any(Place::Symbol("xen_pv_entry")),
    any(Place::Symbol("entry_long")),
    // Only the SYSCALL instruction leads there.
    only(Place::Symbol("syscall_direct"), "swapgs"),
    // An IRET to itself, which is the same instruction for any host.
    any(Place::Symbol(
        "guest_kernel_demo::arch::x86_64::serialize::serialize",
    )),
    any(Place::Symbol(
        "guest_kernel_demo::arch::x86::serialize::serialize",
    )),
    // What the ops are measured against.
    any(Place::Module("guest_kernel_demo::measure")),
    any(Place::Module("guest_kernel_demo::bench")),
    // Its loop, with what is measured inlined.
    any(Place::Module("pvops_benches")),
    // Stands where the native functions do, and writes down what they say.
    any(Place::Module("guest_kernel_demo::record")),
    // Reads back what the op has loaded; there is no op that reads it.
    only(
        Place::Symbol("guest_kernel_demo::selftest::cpu::descriptor_tables"),
        "str",
    ),
];

const fn any(place: Place) -> Permit {
    Permit { place, only: None }
}

const fn only(place: Place, mnemonic: &'static str) -> Permit {
    Permit {
        place,
        only: Some(mnemonic),
    }
}

/// Looks at the kernel at `path`. Gives the number of privileged instructions, or a line for each
/// that is where none may be.
pub(crate) fn check(path: &Path) -> anyhow::Result<Result<usize, Vec<String>>> {
    let shown = path.display();
    let file = std::fs::read(path).with_context(|| shown.to_string())?;
    let image = Image::parse(&file).map_err(|error| anyhow!("{shown} {error}"))?;
    Ok(judge(&image))
}

fn judge(image: &Image<'_>) -> Result<usize, Vec<String>> {
    let findings = privileged::instructions(image);
    let misplaced: Vec<_> = findings
        .iter()
        .filter(|finding| !is_permitted(finding))
        .map(|finding| {
            let place = image.symbols().place(finding.address);
            let place = place.map_or("no symbol".into(), |place| place.to_string());
            format!("{:#x}: {} in {place}", finding.address, finding.text)
        })
        .collect();
    // A kernel with native ops but without privileged instructions has not been read right.
    match (misplaced.is_empty(), findings.len()) {
        (true, 0) => Err(vec!["no privileged instruction at all was found".into()]),
        (true, count) => Ok(count),
        (false, _) => Err(misplaced),
    }
}

fn is_permitted(finding: &Finding) -> bool {
    let Some(symbol) = &finding.symbol else {
        return false;
    };
    let mnemonic = finding.text.split(' ').next();
    PERMITS.iter().any(|permit| {
        permit.place.holds(symbol) && permit.only.is_none_or(|only| mnemonic == Some(only))
    })
}

impl Place {
    fn holds(&self, symbol: &str) -> bool {
        match self {
            // A method of a trait is called "<crate::module::Type as Trait>::method".
            Self::Module(module) => symbol
                .trim_start_matches('<')
                .strip_prefix(module)
                .is_some_and(|rest| rest.starts_with("::")),
            Self::Symbol(name) => symbol == *name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvops_tests::sample::Sample;

    /// The judgement on a kernel with `code` in one function.
    fn judged(name: &str, code: &[u8]) -> Result<usize, Vec<String>> {
        let elf = Sample::without_sites(code, &[(name, 0, code.len() as u64)]).build();
        judge(&Image::parse(&elf).unwrap())
    }

    #[test]
    fn backends_entry_and_measuring_may_hold_any() {
        for name in [
            "_ZN20pvops_backend_native3irq8BINDINGS5thunk17h0123456789abcdefE",
            "pvops_backend_kvm::clock::clock_ns",
            "<pvops_backend_native::apic::Apic as core::fmt::Debug>::fmt",
            "pvh_entry",
            "guest_kernel_demo::measure::rounds",
        ] {
            assert_eq!(judged(name, b"\x90\xfa\xfb\xc3"), Ok(2), "{name}");
        }
    }

    #[test]
    fn anything_else_is_named() {
        let expected = vec!["0xffffffff80200001: cli in guest_kernel_demo::start+0x1".to_string()];
        assert_eq!(
            judged("guest_kernel_demo::start", b"\x90\xfa\xc3"),
            Err(expected)
        );
        for name in [
            "guest_kernel_demo::measurement::run",
            "pvops_backend_native",
            "pvops_backend_natively::run",
            "pvops_core::pvclock::read",
            "pvh_entry_2",
        ] {
            assert!(judged(name, b"\xfa\xc3").is_err(), "{name}");
        }
    }

    #[test]
    fn some_places_may_hold_one_instruction_only() {
        assert_eq!(judged("syscall_direct", b"\x0f\x01\xf8"), Ok(1));
        assert!(judged("syscall_direct", b"\xfa\x0f\x01\xf8").is_err());
        let name = "guest_kernel_demo::selftest::cpu::descriptor_tables";
        assert_eq!(judged(name, b"\x66\x0f\x00\xc8"), Ok(1));
        assert!(judged(name, b"\x66\x0f\x00\xd8").is_err());
    }

    #[test]
    fn code_without_a_symbol_and_no_code_at_all_fail() {
        let mut sample = Sample::new();
        sample.text = b"\xfa".to_vec();
        sample.symbols.clear();
        let elf = sample.build();
        assert_eq!(
            judge(&Image::parse(&elf).unwrap()),
            Err(vec!["0xffffffff80200000: cli in no symbol".into()])
        );
        assert!(judged("pvh_entry", b"\x90").is_err());
    }
}
