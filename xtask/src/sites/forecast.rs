//! What a backend makes of call sites.
//!
//! The backends are linked into this program, and the bytes come from the code that patches a
//! kernel. The image may have been linked with another version of the library, so ops are matched
//! by name. Where a bound function is in the image is known only if the image has a function of
//! that name.

use std::collections::BTreeMap;

use pvops_core::binding::{ErasedBinding, Outcome};
use pvops_core::{Bindings, OpNumber, patch};
use pvops_tests::callee::{self, Callee};
use pvops_tests::disassembly::{Disassembler, decode};
use pvops_tests::image::Image;
use pvops_tests::sites::Site;

use super::own::Own;

/// A backend whose effect can be shown.
struct Backend {
    name: &'static str,
    typical: fn() -> Bindings,
}

static BACKENDS: [Backend; 4] = [
    Backend {
        name: pvops_backend_native::BACKEND.name,
        typical: pvops_backend_native::typical,
    },
    Backend {
        name: pvops_backend_kvm::BACKEND.name,
        typical: pvops_backend_kvm::typical,
    },
    // As a PVH or HVM guest.
    Backend {
        name: pvops_backend_xen::BACKEND.name,
        typical: pvops_backend_xen::hvm::typical,
    },
    Backend {
        name: "xen-pv",
        typical: pvops_backend_xen::pv::typical,
    },
];

/// The names of these backends.
pub(super) fn backend_names() -> [&'static str; BACKENDS.len()] {
    BACKENDS.each_ref().map(|backend| backend.name)
}

/// What one backend does for each op of an image.
pub(super) struct Forecast<'a> {
    /// Whether this program, which is 64-bit, has the templates for sites of the image.
    has_templates: bool,
    ops: BTreeMap<&'a str, Op>,
}

struct Op {
    binding: ErasedBinding,
    /// `None` when this program has no name for it.
    function: Option<Callee>,
    /// Where the image has the function.
    target: Option<u64>,
}

/// What a site becomes.
pub(super) struct Replacement {
    /// `None` if the backend does not know the op.
    pub(super) outcome: Option<Outcome>,
    /// In hexadecimal; `??` for a byte that is not known from here.
    pub(super) bytes: String,
    pub(super) instructions: String,
}

impl<'a> Forecast<'a> {
    /// Looks up what `backend` does for `ops`. `None` if there is no such backend.
    pub(super) fn new(
        backend: &str,
        ops: &[&'a str],
        image: &Image<'_>,
        own: &Own<'_>,
    ) -> Option<Self> {
        let backend = BACKENDS.iter().find(|known| known.name == backend)?;
        let bindings = (backend.typical)();
        let known: BTreeMap<_, _> = (0..)
            .zip(bindings.as_slice())
            .filter_map(|(number, binding)| Some((OpNumber(number).name()?, binding)))
            .collect();
        let ops = ops.iter().filter_map(|&name| {
            let binding = **known.get(name)?;
            let function = own.function(binding.destination());
            let target = function
                .as_ref()
                .and_then(|function| callee::find(image, function));
            let op = Op {
                binding,
                function,
                target,
            };
            Some((name, op))
        });
        Some(Self {
            has_templates: image.bits() == 64,
            ops: ops.collect(),
        })
    }

    /// What becomes of `site`, which is one of the op called `name`.
    pub(super) fn of(
        &self,
        site: &Site<'_>,
        name: &str,
        disassembler: &mut Disassembler,
    ) -> Replacement {
        if !self.has_templates {
            return Replacement::unknown("not known to a 64-bit xtask");
        }
        let Some(op) = self.ops.get(name) else {
            return Replacement::unknown("an op that this xtask does not know");
        };
        let Some((outcome, bytes)) = op.replacement(site) else {
            return Replacement::unknown("nothing fits");
        };
        Replacement {
            outcome: Some(outcome),
            bytes: super::hexadecimal(&bytes),
            instructions: op.instructions(site.address, outcome, &bytes, disassembler),
        }
    }
}

impl Replacement {
    pub(super) fn unknown(reason: &str) -> Self {
        Self {
            outcome: None,
            bytes: "-".into(),
            instructions: reason.into(),
        }
    }
}

impl Op {
    /// The site's new bytes, `None` for those that depend on where the function is if that is
    /// not known.
    fn replacement(&self, site: &Site<'_>) -> Option<(Outcome, Vec<Option<u8>>)> {
        let known = |target: u64| {
            let mut bytes = vec![0; site.bytes.len()];
            let (site, target) = (site.address as usize, target as usize);
            let outcome = patch::preview(&self.binding, site, target, &mut bytes)?;
            Some((outcome, bytes))
        };
        if let Some((outcome, bytes)) = self.target.and_then(known) {
            return Some((outcome, bytes.into_iter().map(Some).collect()));
        }
        // Two places whose distances from the site differ in every byte.
        let (outcome, bytes) = known(site.address)?;
        let (_, others) = known(site.address.wrapping_add(0x0101_0101))?;
        let bytes = bytes.iter().zip(&others);
        let bytes = bytes.map(|(byte, other)| (byte == other).then_some(*byte));
        Some((outcome, bytes.collect()))
    }

    fn instructions(
        &self,
        address: u64,
        outcome: Outcome,
        bytes: &[Option<u8>],
        disassembler: &mut Disassembler,
    ) -> String {
        let bytes: Vec<u8> = bytes.iter().map(|byte| byte.unwrap_or(0)).collect();
        let instruction = match outcome {
            Outcome::Call => "call",
            Outcome::Jump => "jmp",
            _ => return disassembler.one_line(&bytes, address),
        };
        let function = match &self.function {
            Some(function) => function.to_string(),
            None => "a function without a name".into(),
        };
        let first = decode(64, &bytes, address).next();
        let padding = &bytes[first.map_or(0, |first| first.len())..];
        match disassembler.one_line(padding, address) {
            padding if padding.is_empty() => format!("{instruction} {function}"),
            padding => format!("{instruction} {function}; {padding}"),
        }
    }
}
