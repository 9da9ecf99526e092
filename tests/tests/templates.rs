//! Every template, decoded by a real disassembler: it is what its op's name says.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use pvops_core::binding::{Binding, ErasedBinding, Outcome};
use pvops_core::{Bindings, OpNumber, inline};

/// Which of the lengths in a declaration is the one of this code's sites.
const WORD_SIZE: usize = cfg!(target_pointer_width = "32") as usize;

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[path = "templates/x86_64.rs"]
        mod native;
    } else {
        #[path = "templates/x86.rs"]
        mod native;
    }
}
use native::NATIVE;

/// What the native backend need not do.
const NATIVE_NOTHING: &[&str] = &[
    "cpu.start_context_switch",
    "cpu.end_context_switch",
    "mmu.alloc_table",
    "mmu.release_table",
    "mmu.activate_tables",
    "mmu.exit_tables",
    "mmu.enter_lazy",
    "mmu.leave_lazy",
    "mmu.flush_lazy",
    "mmu.pause_lazy",
    "mmu.resume_lazy",
    "system.report_crash",
    "lock.kick",
];

/// What the KVM backend need not do besides.
const KVM_NOTHING: &[&str] = &["io.delay"];

/// What the KVM backend calls a function for where the native one has a template.
const KVM_CALLS: &[&str] = &[
    "time.stolen_ns",
    "time.was_stopped",
    "apic.eoi",
    "lock.wait",
    "lock.vcpu_is_preempted",
    "lock.release",
];

/// What it calls a function for where the native one does nothing.
const KVM_DOES: &[&str] = &["lock.kick", "system.report_crash"];

/// What the KVM backend has a template for where the native one traps.
const KVM_TEMPLATES: &[(&str, &str)] = &[("system.hypercall", "vmcall")];

#[test]
fn native_templates_are_what_their_names_say() {
    let bindings = pvops_backend_native::typical();
    assert_eq!(templates(&bindings), NATIVE);
    assert_eq!(nothing(&bindings), NATIVE_NOTHING);
}

#[test]
fn kvm_templates_are_the_native_ones_but_for_what_it_calls_or_needs_not() {
    let bindings = pvops_backend_kvm::typical();
    let mut wanted: Vec<_> = NATIVE
        .iter()
        .filter(|(op, _)| !KVM_NOTHING.contains(op) && !KVM_CALLS.contains(op))
        .chain(KVM_TEMPLATES)
        .copied()
        .collect();
    let mut found = templates(&bindings);
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
    let mut wanted = [NATIVE_NOTHING, KVM_NOTHING].concat();
    wanted.retain(|op| !KVM_DOES.contains(op));
    let mut found = nothing(&bindings);
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

/// What a PV guest of Xen has at call sites that the native backend does not have there.
#[cfg(target_arch = "x86_64")]
const XEN_PV: &[(&str, &str)] = &[
    ("cpu.read_cr8", "xor eax,eax"),
    (
        "cpu.interrupt_return",
        "push 0; push rcx; push r11; push rax; mov eax,17h; syscall",
    ),
    (
        "cpu.syscall_return",
        "push 100h; push rcx; push r11; push rax; push 17h; pop rax; syscall",
    ),
    ("irq.save_flags", "mov eax,gs:[41h]; dec eax"),
    ("irq.disable", "mov byte ptr gs:[41h],1"),
    ("system.hypercall", "syscall"),
];

/// What it has as hardware: what ring 3 may do, and what Xen emulates and nobody does often.
#[cfg(target_arch = "x86_64")]
const XEN_PV_NATIVE: &[&str] = &[
    "cpu.read_cr4",
    "cpu.write_cr4",
    "cpu.read_msr",
    "cpu.read_tsc",
    "cpu.read_tsc_ordered",
    "cpu.read_performance_counter",
    "cpu.read_xcr",
    "cpu.write_xcr",
    "cpu.read_fs_base",
    "cpu.read_gs_base",
    "cpu.read_kernel_gs_base",
    "time.was_stopped",
    "io.in8",
    "io.in16",
    "io.in32",
    "io.out8",
    "io.out16",
    "io.out32",
    "io.delay",
];

#[cfg(target_arch = "x86_64")]
#[test]
fn a_pv_guest_of_xen_has_its_own_templates_where_ring_3_may_not_have_the_native_ones() {
    let bindings = pvops_backend_xen::pv::typical();
    let found = templates(&bindings);
    let (own, native): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|template| !NATIVE.contains(template));
    assert_eq!(own, XEN_PV);
    let op = |&(op, _): &(&'static str, _)| op;
    let native: Vec<_> = native.iter().map(op).collect();
    assert_eq!(native, XEN_PV_NATIVE);
}

#[test]
fn a_template_takes_its_operand() {
    let binding = inline!(
        apic::eoi, operand 4 bytes before the end, else Binding::unavailable(),
        "mov dword ptr [{operand}], 0"
    );
    let mut bindings = pvops_backend_native::typical();
    bindings.apic.eoi = binding;
    let outcome = |bindings: &Bindings| {
        named(bindings)
            .find(|&(op, _)| op == "apic.eoi")
            .map(|(_, binding)| binding.outcome())
    };
    assert_eq!(outcome(&bindings), Some(Outcome::Call));
    bindings.apic.eoi = binding.with_operand(0xc000_00b0);
    assert_eq!(outcome(&bindings), Some(Outcome::Inline));
    let text = templates(&bindings)
        .into_iter()
        .find(|(op, _)| *op == "apic.eoi")
        .unwrap()
        .1;
    let address = match cfg!(target_pointer_width = "64") {
        true => "0FFFFFFFFC00000B0h",
        false => "0C00000B0h",
    };
    assert_eq!(text, format!("mov dword ptr [{address}],0"));
}

#[test]
fn every_template_fits_its_site() {
    let backends = [
        pvops_backend_native::typical(),
        pvops_backend_xen::hvm::typical(),
        #[cfg(target_arch = "x86_64")]
        pvops_backend_xen::pv::typical(),
    ];
    let bindings = backends.iter().flat_map(Bindings::as_slice);
    for (declaration, binding) in pvops_core::DECLARATIONS.iter().cycle().zip(bindings) {
        if let Some(template) = binding.template() {
            let (op, length) = (declaration.name, template.len());
            assert!(
                length <= usize::from(declaration.site_lengths[WORD_SIZE]),
                "{op}: {length} bytes"
            );
        }
    }
}

#[test]
fn templates_of_one_instruction_are_known() {
    let native = pvops_backend_native::typical();
    for (op, binding) in named(&native) {
        let Some(template) = binding.template() else {
            continue;
        };
        let mut buffer = [0; 15];
        let bytes = template.copy_to(&mut buffer).unwrap();
        let count = Decoder::new(usize::BITS, bytes, DecoderOptions::NONE)
            .into_iter()
            .count();
        assert_eq!(template.is_single_instruction(), count == 1, "{op}");
    }
    let separated = inline!(irq::disable, "cli; nop");
    let directive = inline!(irq::disable, ".byte 0xfa, 0x90");
    for binding in [separated, directive] {
        let mut bindings = pvops_backend_native::typical();
        bindings.irq.disable = binding;
        let (_, erased) = named(&bindings)
            .find(|&(op, _)| op == "irq.disable")
            .unwrap();
        assert!(!erased.template().unwrap().is_single_instruction());
    }
}

#[test]
fn op_numbers_names_and_declarations_agree() {
    for (index, declaration) in pvops_core::DECLARATIONS.iter().enumerate() {
        assert_eq!(OpNumber(index as u16).name(), Some(declaration.name));
        assert!(
            declaration
                .site_lengths
                .iter()
                .all(|length| (6..=15).contains(length))
        );
    }
    let count = pvops_core::DECLARATIONS.len();
    assert_eq!(OpNumber(count as u16).name(), None);
    assert_eq!(pvops_backend_native::typical().as_slice().len(), count);
    assert_eq!(format!("{}", OpNumber(u16::MAX)), "op 65535");
}

/// Name and text of each template.
fn templates(bindings: &Bindings) -> Vec<(&'static str, &'static str)> {
    named(bindings)
        .filter(|(_, binding)| binding.outcome() == Outcome::Inline)
        .map(|(op, binding)| {
            let mut buffer = [0; 15];
            let bytes = binding.template().unwrap().copy_to(&mut buffer).unwrap();
            (op, &*text(bytes).leak())
        })
        .collect()
}

/// The ops that patching makes NOPs of.
fn nothing(bindings: &Bindings) -> Vec<&'static str> {
    named(bindings)
        .filter(|(_, binding)| binding.outcome() == Outcome::Nop)
        .map(|(op, _)| op)
        .collect()
}

fn named(bindings: &Bindings) -> impl Iterator<Item = (&'static str, &ErasedBinding)> {
    bindings
        .as_slice()
        .iter()
        .enumerate()
        .map(|(index, binding)| (OpNumber(index as u16).name().unwrap(), binding))
}

fn text(bytes: &[u8]) -> String {
    let mut formatter = IntelFormatter::new();
    let instructions = Decoder::new(usize::BITS, bytes, DecoderOptions::NONE);
    let texts: Vec<_> = instructions
        .into_iter()
        .map(|instruction| {
            assert!(!instruction.is_invalid(), "{bytes:02x?}");
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            text
        })
        .collect();
    texts.join("; ")
}
