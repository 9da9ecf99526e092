//! Call sites: what the facade of an op compiles to.
//!
//! A site is a call through the op's slot, six bytes, padded with one-byte NOPs where the op wants a longer
//! site, and a [record](crate::site::SiteRecord) in the section `pvops_sites`. The section's flag
//! `R` keeps it through `--gc-sections`; since its name is a C identifier the linker bounds it by
//! `__start_pvops_sites` and `__stop_pvops_sites`, with no linker script.
//!
//! Preserve sites of kernels (code without vector registers, hence without a red zone), and all of
//! 32-bit code, where nobody has a red zone, are declared
//! `nostack`, so that a function does not align its stack for the sake of a site that becomes one
//! instruction. They do push: a return address, or the flags. But without a red zone an interrupt
//! may write below the stack pointer at any instruction, so the compiler keeps nothing there, and a
//! site that pushes and pops does no more than an interrupt that comes and goes.
//!
//! Other 64-bit code, such as the library in a Linux process, has a red zone: its sites are not
//! `nostack`. Sites also give up the vector registers, which the function behind the site is free to use.
//!
//! Entry code that is written in assembly has sites by [`asm_site!`](crate::asm_site).

use crate::op::Op;

/// A site and its record between two other instructions, with the operands given.
macro_rules! site_asm {
    ($op:ty, ($before:literal, $after:literal), [$($named:tt)*], [$($operand:tt)*]) => {
        core::arch::asm!(
            $before,
            "771:",
            $crate::arch::site_call!(),
            ".skip {pvops_length} - 6, 0x90",
            $after,
            ".pushsection pvops_sites, \"aR\", @progbits",
            ".balign 4",
            ".long 771b - .",
            ".short {pvops_op}",
            ".byte {pvops_length}, 0",
            ".popsection",
            $($named)*
            pvops_slot = const <$op as $crate::Op>::NUMBER.0 as usize * size_of::<usize>(),
            pvops_op = const <$op as $crate::Op>::NUMBER.0,
            pvops_length = const <$op as $crate::Op>::SITE_LENGTH,
            $($operand)*
        )
    };
}

/// Assembler lines (a string literal) that are a call site, for `global_asm!` and `naked_asm!` in
/// either syntax. The argument names a `const` operand, which [`asm_op`] makes of the op:
///
/// ```text
/// naked_asm!(
///     pvops_core::asm_site!("swapgs"),
///     pvops_core::asm_site!("interrupt_return"),
///     swapgs = const asm_op::<op::cpu::swapgs>(),
///     interrupt_return = const asm_op::<op::cpu::interrupt_return>(),
/// )
/// ```
///
/// Operands are, and registers are lost, as the op's [shape](crate::arch::shape) says; the flags and
/// whatever is below the stack pointer are lost at every site. The assembly answers for what the op's
/// function has as its safety contract.
///
/// [`asm_op`]: crate::asm_op
#[macro_export]
macro_rules! asm_site {
    ($operand:literal) => {
        concat!(
            "771:\n",
            // The call, as bytes because the two syntaxes write it differently.
            ".byte 0xff, 0x15\n",
            $crate::asm_site_slot!($operand),
            ".skip {",
            $operand,
            "} / 0x10000 - 6, 0x90\n",
            ".pushsection pvops_sites, \"aR\", @progbits\n",
            ".balign 4\n",
            ".long 771b - .\n",
            ".long {",
            $operand,
            "}\n",
            ".popsection\n"
        )
    };
}

/// Where the call of [`asm_site!`](crate::asm_site) finds its target.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! asm_site_slot {
    ($operand:literal) => {
        concat!(
            ".long pvops_op_table + ({",
            $operand,
            "} & 0xffff) * 8 - . - 4\n"
        )
    };
}

/// Where the call of [`asm_site!`](crate::asm_site) finds its target.
#[cfg(target_arch = "x86")]
#[doc(hidden)]
#[macro_export]
macro_rules! asm_site_slot {
    ($operand:literal) => {
        concat!(".long pvops_op_table + ({", $operand, "} & 0xffff) * 4\n")
    };
}

/// An op as the operand that [`asm_site!`](crate::asm_site) wants: the last four bytes of its
/// [site record](crate::site::SiteRecord), number and length.
pub const fn asm_op<O: Op>() -> u32 {
    O::NUMBER.0 as u32 | (O::SITE_LENGTH as u32) << 16
}

pub(crate) use site_asm;
