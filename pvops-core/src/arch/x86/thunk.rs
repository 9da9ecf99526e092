//! Thunks: how a preserve site reaches a Rust function.

/// Binds an op of a preserve shape to a function, by a thunk that puts the operands where the C ABI
/// has them, and saves what the site doesn't lose.
///
/// ```text
/// clock_ns: pvops_core::preserve!(time::clock_ns, clock_ns),
/// ```
///
/// The function has the op's [`Function`](crate::Op::Function) type; it runs on the caller's stack,
/// aligned by the thunk, in whatever context the op may be called from. One of another type is an error:
///
/// ```compile_fail,E0308
/// unsafe extern "C" fn clock_ns() -> u32 { 0 }
/// pvops_core::preserve!(time::clock_ns, clock_ns);
/// ```
#[macro_export]
macro_rules! preserve {
    ($group:ident::$name:ident, $function:path) => {{
        $crate::preserve_thunk!(thunk, $group::$name, $function);
        // SAFETY: the thunk saves all that a preserve site does not lose, and the function has the
        // op's signature, as the thunk checks.
        unsafe { $crate::binding::Binding::<$crate::op::$group::$name>::preserve(thunk) }
    }};
}

/// Defines the thunk of [`preserve!`](crate::preserve) under the name `$thunk`, with parameters if some
/// are given.
#[doc(hidden)]
#[macro_export]
macro_rules! preserve_thunk {
    ($thunk:ident $([$($parameters:tt)*])?, $group:ident::$name:ident, $function:path) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $thunk $(<$($parameters)*>)? () {
            core::arch::naked_asm!(
                "push ebp",
                "mov ebp, esp",
                // At ebp - 4, - 8 and - 12, where the site does not lose them.
                "push eax",
                "push ecx",
                "push edx",
                // Room for a result at esp + 16, and below it for the words of the arguments.
                "sub esp, 32",
                "and esp, -16",
                ".if {shape} == {msr_read}",
                "mov [esp], ecx",
                ".elseif {shape} == {msr_write}",
                "mov [esp], ecx",
                "mov [esp + 4], eax",
                "mov [esp + 8], edx",
                ".elseif ({shape} == {port_in}) || ({shape} == {port_out})",
                "movzx edx, dx",
                "mov [esp], edx",
                "mov [esp + 4], eax",
                ".elseif {shape} == {cpuid}",
                "mov [esp], eax",
                "mov [esp + 4], ecx",
                "lea eax, [esp + 16]",
                "mov [esp + 8], eax",
                ".else",
                "mov [esp], eax",
                "mov [esp + 4], edx",
                "mov [esp + 8], ecx",
                ".if {words} > 3",
                // Behind ebp and the return address.
                "mov eax, [ebp + 8]",
                "mov [esp + 12], eax",
                ".endif",
                ".endif",
                "call {function}",
                ".if {shape} == {cpuid}",
                "mov eax, [esp + 16]",
                "mov ebx, [esp + 20]",
                "mov ecx, [esp + 24]",
                "mov edx, [esp + 28]",
                ".elseif {shape} == {flags_read}",
                "mov ecx, [ebp - 8]",
                "mov edx, [ebp - 12]",
                ".elseif {shape} == {flags_write}",
                "mov eax, [ebp - 4]",
                "mov ecx, [ebp - 8]",
                "mov edx, [ebp - 12]",
                ".endif",
                "leave",
                "ret",
                shape = const $crate::op::shape_for::<$crate::op::$group::$name>($function),
                words = const <$crate::op::$group::$name as $crate::Op>::ARGUMENT_WORDS,
                flags_read = const $crate::arch::shape::flags_read,
                flags_write = const $crate::arch::shape::flags_write,
                msr_read = const $crate::arch::shape::msr_read,
                msr_write = const $crate::arch::shape::msr_write,
                port_in = const $crate::arch::shape::port_in,
                port_out = const $crate::arch::shape::port_out,
                cpuid = const $crate::arch::shape::cpuid,
                function = sym $function,
            )
        }
    };
}
