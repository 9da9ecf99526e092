//! What becomes of each site.

use std::slice;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};
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
            Decoder::with_ip(usize::BITS, code, address as u64, DecoderOptions::NONE)
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
                let template = template.copy_to(&mut buffer).unwrap_or_default();
                let prefixes = code.iter().take_while(|&&byte| byte == 0x3e).count();
                ensure!(
                    code[prefixes..].starts_with(template),
                    "{what}: no template"
                );
                let plain = Decoder::new(usize::BITS, template, DecoderOptions::NONE);
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
                equal(&what, first.code(), CALL)?;
                equal(&what, first.near_branch_target() as usize, binding.target())?;
                ensure!(
                    first.len() == 6,
                    "{what}: the call is not one instruction of six bytes"
                );
            }
            (binding::Outcome::Jump, _) => {
                equal(&what, first.code(), JUMP)?;
                let target = first.near_branch_target() as usize;
                equal(&what, target, binding.destination())?;
                ensure!(
                    target != binding.target(),
                    "{what}: jumps to what is called"
                );
            }
            (binding::Outcome::Nop, _) => {
                ensure!(instructions.iter().all(is_nop), "{what}: not a NOP");
                ensure!(instructions.len() == 1, "{what}: more than one NOP");
            }
            (binding::Outcome::Trap, _) => equal(&what, first.code(), Code::Ud2)?,
        }
    }
    Ok(())
}

#[cfg(target_pointer_width = "64")]
const CALL: Code = Code::Call_rel32_64;
#[cfg(target_pointer_width = "64")]
const JUMP: Code = Code::Jmp_rel32_64;
#[cfg(target_pointer_width = "32")]
const CALL: Code = Code::Call_rel32_32;
#[cfg(target_pointer_width = "32")]
const JUMP: Code = Code::Jmp_rel32_32;

fn is_nop(instruction: &Instruction) -> bool {
    let is_of_32_bit_code = instruction.code() == Code::Lea_r32_m
        && instruction.op0_register() == Register::ESI
        && instruction.memory_base() == Register::ESI
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement32() == 0;
    let is_of_64_bit_code = [
        Code::Nopw,
        Code::Nopd,
        Code::Nopq,
        Code::Nop_rm16,
        Code::Nop_rm32,
        Code::Nop_rm64,
    ]
    .contains(&instruction.code());
    match cfg!(target_pointer_width = "64") {
        true => is_of_64_bit_code,
        false => is_of_32_bit_code,
    }
}
