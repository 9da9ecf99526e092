//! What becomes of each site.

use std::slice;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};
use pvops_core::binding;
use pvops_core::install as install_backend;
use pvops_core::probe::Interfaces;
use pvops_core::site::image_sites;
use pvops_tests::check::{Outcome, equal};
use pvops_tests::ensure;
use pvops_tests::process::{PROCESS, span, text};

use crate::backend::{self, BACKEND};

pub(crate) fn install() -> Outcome {
    // SAFETY: this process is the boot CPU, and has no other threads.
    let counts = unsafe { install_backend(&BACKEND, &PROCESS, &Interfaces::default()) };
    let counts = counts.map_err(|error| error.to_string())?;
    equal("the number of sites", counts.total(), image_sites().len())?;
    let all = [
        counts.inline,
        counts.call,
        counts.jump,
        counts.nop,
        counts.trap,
    ];
    ensure!(!all.contains(&0), "not all outcomes occur: {counts:?}");
    println!("     {} sites: {counts:?}", counts.total());
    Ok(())
}

pub(crate) fn outcomes() -> Outcome {
    let bindings = backend::bindings();
    for record in image_sites() {
        let binding = &bindings.as_slice()[usize::from(record.op().0)];
        let code = &text(&span(slice::from_ref(record)));
        let address = record.address();
        let instructions: Vec<Instruction> =
            Decoder::with_ip(64, code, address as u64, DecoderOptions::NONE)
                .into_iter()
                .collect();
        let first = instructions[0];
        let what = format!("{} at {address:#x}: {code:02x?}", record.op());
        let decoded: usize = instructions.iter().map(Instruction::len).sum();
        ensure!(
            decoded == code.len() && instructions.iter().all(|one| !one.is_invalid()),
            "{what}: not whole instructions"
        );
        let inline = binding
            .template()
            .filter(|template| template.len() <= code.len());
        match (binding.outcome(), inline) {
            (binding::Outcome::Inline, Some(template)) => {
                // The template is there to the byte, behind nothing but prefixes.
                let mut buffer = [0; 15];
                let template = template.copy_to(&mut buffer);
                let prefixes = code.iter().take_while(|&&byte| byte == 0x3e).count();
                ensure!(
                    code[prefixes..].starts_with(template),
                    "{what}: no template"
                );
                let plain = Decoder::new(64, template, DecoderOptions::NONE);
                let same = instructions
                    .iter()
                    .zip(plain)
                    .all(|(at_site, in_template)| {
                        at_site.code() == in_template.code()
                            && at_site.op_count() == in_template.op_count()
                            && (0..at_site.op_count()).all(|operand| {
                                at_site.op_kind(operand) == in_template.op_kind(operand)
                                    && at_site.op_register(operand)
                                        == in_template.op_register(operand)
                            })
                    });
                ensure!(same, "{what}: the prefixes change its meaning");
            }
            (binding::Outcome::Inline, None) | (binding::Outcome::Call, _) => {
                equal(&what, first.code(), Code::Call_rel32_64)?;
                equal(&what, first.near_branch64() as usize, binding.target())?;
                ensure!(
                    first.len() == 6,
                    "{what}: the call is not one instruction of six bytes"
                );
            }
            (binding::Outcome::Jump, _) => {
                equal(&what, first.code(), Code::Jmp_rel32_64)?;
                let target = first.near_branch64() as usize;
                equal(&what, target, binding.destination())?;
                ensure!(
                    target != binding.target(),
                    "{what}: jumps to what is called"
                );
            }
            (binding::Outcome::Nop, _) => {
                ensure!(
                    instructions.iter().all(|one| is_nop(one.code())),
                    "{what}: not a NOP"
                );
                ensure!(instructions.len() == 1, "{what}: more than one NOP");
            }
            (binding::Outcome::Trap, _) => equal(&what, first.code(), Code::Ud2)?,
        }
    }
    Ok(())
}

fn is_nop(code: Code) -> bool {
    [
        Code::Nopw,
        Code::Nopd,
        Code::Nopq,
        Code::Nop_rm16,
        Code::Nop_rm32,
        Code::Nop_rm64,
    ]
    .contains(&code)
}
