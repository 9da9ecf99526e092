//! Templates: the bytes that a backend wants at the call sites of one op.
//!
//! A template is assembled, never typed in hexadecimal. [`inline!`](crate::inline) assembles the
//! same lines twice: as a function, for sites that are not patched, and as the template.

use super::selected::encode::is_indifferent_to_ds;

/// Binds an op to instructions that are put at its call sites.
///
/// ```text
/// save_flags: pvops_core::inline!(irq::save_flags, "pushfq", "pop rax"),
/// ```
///
/// The lines find the operands where the op's [shape](crate::arch::shape) says, may change only what the
/// shape says, and must neither return nor mention the stack or instruction pointer: at a site they run
/// without a return address on the stack. (Those of an exit op do both: at a site and in the function they
/// have the frame at the stack pointer.) Lines longer than the op's site are called instead.
///
/// Lines that address memory by a number known only at boot write that number as the operand
/// `{operand}`, as in `"mov dword ptr [{operand}], 0"`, and say how many bytes of the last
/// instruction follow it; [`Binding::with_operand`](crate::binding::Binding::with_operand) gives
/// the number. Such a template has no meaning as a function, so one is to be named:
///
/// ```text
/// pvops_core::inline!(apic::eoi, operand 4 bytes before the end, else eoi_function,
///     "mov dword ptr [{operand}], 0")
/// ```
#[macro_export]
macro_rules! inline {
    ($group:ident::$name:ident, $($line:literal),+ $(,)?) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn thunk() {
            core::arch::naked_asm!(
                // Away with the return address.
                ".if ({shape} == {exit}) || ({shape} == {sysexit})",
                $crate::drop_return_address!(),
                ".endif",
                $($line,)+
                "ret",
                shape = const <$crate::op::$group::$name as $crate::Op>::SHAPE,
                exit = const $crate::arch::shape::exit,
                sysexit = const $crate::arch::shape::sysexit,
            )
        }
        #[unsafe(naked)]
        unsafe extern "C" fn template() {
            core::arch::naked_asm!(
                ".byte 772f - 771f, 0, {single}, {padding}",
                "771:",
                $($line,)+
                "772:",
                single = const $crate::arch::is_single_instruction(&[$($line),+]) as u8,
                padding = const $crate::arch::padding(&[$($line),+]),
            )
        }
        // SAFETY: thunk and template are the same instructions, which keep to the op's shape (the
        // duty of whoever wrote them); the template begins with its header and has no operand.
        unsafe {
            $crate::binding::Binding::<$crate::op::$group::$name>::inline(thunk, template)
        }
    }};
    (
        $group:ident::$name:ident, operand $after:literal bytes before the end, else $binding:expr,
        $($line:literal),+ $(,)?
    ) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn template() {
            core::arch::naked_asm!(
                ".byte 772f - 771f, 772f - 771f - 4 - {after}, {single}, {padding}",
                "771:",
                $($line,)+
                "772:",
                operand = const 0,
                after = const $after,
                single = const $crate::arch::is_single_instruction(&[$($line),+]) as u8,
                padding = const $crate::arch::padding(&[$($line),+]),
            )
        }
        let binding: $crate::binding::Binding<$crate::op::$group::$name> = $binding;
        // SAFETY: the template keeps to the op's shape (the duty of whoever wrote it), begins with
        // its header.
        unsafe { binding.or_inline(template) }
    }};
}

/// Whether a template's lines are one instruction for certain: a single line without a separator of
/// statements or a directive. [Live patching](crate::live) wants to know.
pub const fn is_single_instruction(lines: &[&str]) -> bool {
    let [line] = lines else {
        return false;
    };
    let bytes = line.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if matches!(bytes[index], b';' | b'\n' | b'.') {
            return false;
        }
        index += 1;
    }
    true
}

/// How many prefixes that mean nothing a template takes in front. The longest sites of single
/// instructions need as many; some old decoders slow down beyond three.
pub const fn padding(lines: &[&str]) -> u8 {
    match lines {
        [first, ..] if is_indifferent_to_ds(first) => 8,
        _ => 0,
    }
}

/// Drops the return address of a call that is not to return.
#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! drop_return_address {
    () => {
        "add rsp, 8"
    };
}

/// Drops the return address of a call that is not to return.
#[cfg(target_arch = "x86")]
#[doc(hidden)]
#[macro_export]
macro_rules! drop_return_address {
    () => {
        "add esp, 4"
    };
}
