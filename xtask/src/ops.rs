//! `cargo xtask ops`: the reference of all ops, `docs/ops.md`, from their declaration.
//!
//! What the declaration says can't be outdated, and a test compares the file with it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use pvops_core::binding::{ErasedBinding, Outcome as SiteOutcome};
use pvops_core::{DECLARATIONS, GROUPS, OpDeclaration};
use pvops_tests::disassembly::Disassembler;
use pvops_tests::symbols::Symbols;

use crate::kernel;
use crate::outcome::Outcome;

/// Writes the file.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let path = path()?;
    fs::write(&path, reference()).with_context(|| path.display().to_string())?;
    writeln!(out, "{} ops in {}", DECLARATIONS.len(), path.display())?;
    Ok(Outcome::Passed)
}

fn path() -> anyhow::Result<PathBuf> {
    Ok(kernel::repository()?.current_dir().join("docs/ops.md"))
}

const INTRODUCTION: &str = "\
# Ops

Written by `cargo xtask ops` from the declaration, `pvops-core/src/ops.rs`; do not edit.

Each op tells its class and shape ([call sites](call-sites.md)), the length of its call sites, \
what the native backend puts there in 64-bit code once they are patched, and what others do otherwise: KVM, Xen for \
PVH and HVM guests, and Xen for PV guests; each on a host that has all that the backend can use. A *call* is a direct call of the backend's \
function, *nothing* is NOPs, a *trap* is UD2: the op is not available. An op that is `unsafe` says \
what its caller must see to.

*This CPU* is the one that runs the op. A task that may be moved to another CPU keeps that from \
happening for as long as it matters which one it is: *any context* does not.
";

fn reference() -> String {
    let native = pvops_backend_native::typical();
    let others = [
        ("KVM", pvops_backend_kvm::typical()),
        ("Xen", pvops_backend_xen::hvm::typical()),
        ("Xen PV", pvops_backend_xen::pv::typical()),
    ];
    let mut text = INTRODUCTION.to_string();
    for group in GROUPS {
        push(&mut text, format_args!("\n## {}\n\n", group.name));
        push_documentation(&mut text, group.documentation);
        for (index, op) in DECLARATIONS.iter().enumerate() {
            if op.name.split('.').next() == Some(group.name) {
                let native = &native.as_slice()[index];
                let others = others
                    .each_ref()
                    .map(|(name, bindings)| (*name, &bindings.as_slice()[index]));
                push_op(&mut text, op, native, &others);
            }
        }
    }
    text
}

fn push_op(
    text: &mut String,
    op: &OpDeclaration,
    native: &ErasedBinding,
    others: &[(&str, &ErasedBinding)],
) {
    // Where the compiler puts spaces between tokens is not fixed.
    let signature = op.signature.replace(" (", "(").replace(" :", ":");
    let signature = signature.trim_start_matches("safe ");
    push(
        text,
        format_args!("\n### {}\n\n```rust\n{signature}\n```\n\n", op.name),
    );
    let class = match op.shape {
        "c" | "c_msr_read" | "c_msr_write" => "C",
        "exit" | "sysexit" => "exit",
        "hypercall" => "hypercall",
        _ => "preserve",
    };
    push(
        text,
        format_args!(
            "{class} class, shape `{}`, {}. Native: {}.",
            op.shape,
            lengths(op),
            form(native)
        ),
    );
    for (name, other) in others {
        if is_other(native, other) {
            let otherwise = match (native.outcome(), other.outcome()) {
                (SiteOutcome::Call, SiteOutcome::Call) => "call of its own".into(),
                _ => form(other),
            };
            push(text, format_args!(" {name}: {otherwise}."));
        }
    }
    text.push_str("\n\n");
    push_documentation(text, op.documentation);
}

/// The length of sites, in the word sizes in which there are any.
fn lengths(op: &OpDeclaration) -> String {
    let [length_64, length_32] = op.site_lengths;
    match op.only_bits {
        Some(64) => format!("{length_64} bytes, in 64-bit code only"),
        Some(bits) => format!("{length_32} bytes, in {bits}-bit code only"),
        None if length_64 == length_32 => format!("{length_64} bytes"),
        None => format!("{length_64} bytes ({length_32} in 32-bit code)"),
    }
}

fn is_other(native: &ErasedBinding, other: &ErasedBinding) -> bool {
    native.destination() != other.destination() || native.outcome() != other.outcome()
}

fn form(binding: &ErasedBinding) -> String {
    match (binding.outcome(), binding.template()) {
        (SiteOutcome::Inline, Some(template)) => {
            let mut buffer = [0; u8::MAX as usize];
            let bytes = template.copy_to(&mut buffer).unwrap_or_default();
            let mut disassembler = Disassembler::new(64, &Arc::new(Symbols::none()));
            format!("`{}`", disassembler.one_line(bytes, 0))
        }
        (SiteOutcome::Jump, _) => "jump".into(),
        (SiteOutcome::Nop, _) => "nothing".into(),
        (SiteOutcome::Trap, _) => "trap".into(),
        _ => "call".into(),
    }
}

/// Documentation as rustdoc has it, with links that a plain Markdown reader can follow.
fn push_documentation(text: &mut String, documentation: &str) {
    for line in documentation.lines() {
        let line = line.strip_prefix(' ').unwrap_or(line);
        match line.strip_prefix("# ") {
            Some(heading) => push(text, format_args!("**{heading}**\n")),
            None => push(text, format_args!("{}\n", plain_links(line))),
        }
    }
}

/// `[text](fn@crate::group::op)` leads to the op's heading; of other items only the text stays.
fn plain_links(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        let (target, behind) = after.split_once(')').unwrap_or((after, ""));
        let item = target.strip_prefix("fn@crate::").unwrap_or_default();
        let op_name = item.replace("::", ".");
        let is_op = DECLARATIONS.iter().any(|op| op.name == op_name);
        match before.rsplit_once('[') {
            _ if is_op => push(
                &mut plain,
                format_args!("{before}](#{})", op_name.replace('.', "")),
            ),
            Some((head, words)) if target.contains("crate::") => {
                push(&mut plain, format_args!("{head}{words}"));
            }
            _ => push(&mut plain, format_args!("{before}]({target})")),
        }
        rest = behind;
    }
    plain + rest
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string has no error.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_what_the_declaration_says() {
        let committed = fs::read_to_string(path().unwrap()).unwrap_or_default();
        assert!(
            committed == reference(),
            "docs/ops.md is outdated: run `cargo xtask ops`"
        );
    }

    /// In the last column of docs/from-x86-crates.md.
    #[test]
    fn the_ops_that_stand_for_calls_of_other_crates_exist() {
        let path = path().unwrap().with_file_name("from-x86-crates.md");
        let text = fs::read_to_string(path).unwrap();
        let mut found = 0;
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next();
            let spans = cell.unwrap().split('`').skip(1).step_by(2);
            for name in spans.filter(|span| span.contains("::") && !span.contains("pvops_core")) {
                let name = name.replace("::", ".");
                assert!(DECLARATIONS.iter().any(|op| op.name == name), "{name}");
                found += 1;
            }
        }
        assert!(found > 60, "{found}");
    }

    #[test]
    fn links_lead_to_headings_or_nowhere() {
        assert_eq!(
            plain_links("as [`enable`](fn@crate::irq::enable) and [`lazy`](fn@crate::mmu::lazy)."),
            "as [`enable`](#irqenable) and `lazy`."
        );
        assert_eq!(plain_links("[a](b.md), x[1]"), "[a](b.md), x[1]");
    }

    #[test]
    fn an_op_tells_what_patching_makes_of_it() {
        let text = reference();
        let expected = "\
### irq.disable

```rust
fn disable()
```

preserve class, shape `flags_write`, 9 bytes (6 in 32-bit code). Native: `cli`. Xen PV: `mov byte ptr gs:[0x41], 1`.

Disables interrupts on this CPU. Any context.
";
        assert!(text.contains(expected));
        assert!(text.contains("Native: `out 0x80, al`. KVM: nothing."));
        assert!(text.contains("Native: call. KVM: call of its own."));
    }
}
