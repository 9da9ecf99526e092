//! `examples/minimal-kernel`: what it costs, and boots on every kind of host.

mod size;

use std::io::Write;

use crate::example::{self, Boot, Example};
use crate::tally::Tally;

/// Of its workspace.
pub(crate) const MANIFEST: &str = "examples/minimal-kernel/Cargo.toml";
const NAME: &str = "minimal-kernel";

static EXAMPLES: [Example; 3] = [
    Example {
        title: "minimal kernel: debug",
        name: NAME,
        executable: NAME,
        cargo_options: &["--package", NAME],
        boots: BOOTS.first_chunk::<1>().unwrap(),
    },
    Example {
        title: "minimal kernel: release",
        name: NAME,
        executable: NAME,
        cargo_options: &["--package", NAME, "--release"],
        boots: &BOOTS,
    },
    // Links pvops-core alone, and knows the clock of KVM alone: here in debug, in release for its size.
    Example {
        title: "kernel with the clock only: debug",
        name: NAME,
        executable: size::CLOCK,
        cargo_options: &["--package", size::PACKAGE, "--bin", size::CLOCK],
        boots: &[Boot {
            scenario: "kvm",
            lines: &["interface KVMKVMKVM at 0x40000000", "clock "],
        }],
    },
];

static BOOTS: [Boot; 4] = [
    Boot {
        scenario: "tcg",
        lines: &[
            "interface TCGTCGTCGTCG at 0x40000000",
            "backend native, ",
            "clock ",
        ],
    },
    Boot {
        scenario: "kvm",
        lines: &[
            "interface KVMKVMKVM at 0x40000000",
            "backend kvm, ",
            "clock ",
        ],
    },
    Boot {
        scenario: "xen-pvh",
        lines: XEN,
    },
    Boot {
        scenario: "xen-pv",
        lines: XEN,
    },
];

const XEN: &[&str] = &[
    "interface XenVMMXenVMM at 0x40000000",
    "backend xen, ",
    "clock ",
];

/// Builds the kernels, measures them and boots them; `qemu` is its name and version, or why it is missing.
pub(crate) fn test(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    size::test(tally, out)?;
    EXAMPLES
        .iter()
        .try_for_each(|example| example::test(example, qemu, tally, out))
}
