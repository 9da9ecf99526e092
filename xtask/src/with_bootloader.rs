//! `examples/with-bootloader`, before and after it took pvops, booted by loaders that are not its own.

use std::io::Write;

use crate::example::{self, Boot, Example};
use crate::tally::Tally;

pub(crate) const NAME: &str = "with-bootloader";
pub(crate) const MANIFEST: &str = "examples/with-bootloader/Cargo.toml";

static EXAMPLES: [Example; 2] = [
    Example {
        title: "kernel with a bootloader: before",
        name: NAME,
        executable: NAME,
        cargo_options: &["--release", "--features", "before"],
        boots: &[Boot {
            scenario: "tcg-grub",
            lines: &["no pvops yet", MAPPED],
        }],
    },
    Example {
        title: "kernel with a bootloader: after",
        name: NAME,
        executable: NAME,
        cargo_options: &["--release"],
        boots: &[
            Boot {
                scenario: "tcg-grub",
                lines: &[
                    "Multiboot2: ",
                    "interface TCGTCGTCGTCG at 0x40000000",
                    "backend native, ",
                    MAPPED,
                    "clock ",
                    "slept ",
                ],
            },
            // By Xen's loader of its first domain.
            Boot {
                scenario: "xen-pvh",
                lines: &[
                    "Pvh { version: 0 }: ",
                    "interface XenVMMXenVMM at 0x40000000",
                    "backend xen, ",
                    MAPPED,
                    "clock ",
                    "slept ",
                ],
            },
            // By QEMU's own loader.
            Boot {
                scenario: "kvm",
                lines: &[
                    "Multiboot: ",
                    "interface KVMKVMKVM at 0x40000000",
                    "backend kvm, ",
                    MAPPED,
                    "clock ",
                    "slept ",
                ],
            },
        ],
    },
];

const MAPPED: &str = "a page was mapped to two frames";

/// Builds the kernels and boots them; `qemu` is its name and version, or why it is missing.
pub(crate) fn test(
    qemu: &Result<String, String>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    EXAMPLES
        .iter()
        .try_for_each(|example| example::test(example, qemu, tally, out))
}
