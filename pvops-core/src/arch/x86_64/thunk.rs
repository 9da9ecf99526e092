//! Thunks: how a preserve site reaches a Rust function.

/// Binds an op of a preserve shape to a function, by a thunk that saves what the site doesn't lose.
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
                "push rbp",
                "mov rbp, rsp",
                "push rcx",
                "push rdx",
                "push rsi",
                "push rdi",
                "push r8",
                "push r9",
                "push r10",
                "push r11",
                "and rsp, -16",
                // Operands, from where the shape has them to where the C ABI has them.
                ".if {shape} == {msr_read}",
                "mov edi, ecx",
                ".elseif {shape} == {msr_write}",
                "mov edi, ecx",
                "shl rdx, 32",
                "mov esi, eax",
                "or rsi, rdx",
                ".elseif {shape} == {base_write}",
                "shl rdx, 32",
                "mov edi, eax",
                "or rdi, rdx",
                ".elseif {shape} == {port_in}",
                "movzx edi, dx",
                ".elseif {shape} == {port_out}",
                "movzx edi, dx",
                "mov esi, eax",
                ".elseif {shape} == {cpuid}",
                "sub rsp, 16",
                "mov edi, eax",
                "mov esi, ecx",
                "mov rdx, rsp",
                ".endif",
                "call {function}",
                // The result, and back. The saved rcx is at rbp - 8, the saved rdx at rbp - 16.
                ".if ({shape} == {msr_read}) || ({shape} == {counter}) || ({shape} == {base_read})",
                "mov rdx, rax",
                "shr rdx, 32",
                "mov [rbp - 16], rdx",
                "mov eax, eax",
                ".elseif {shape} == {cpuid}",
                "mov eax, [rsp]",
                "mov ebx, [rsp + 4]",
                "mov ecx, [rsp + 8]",
                "mov edx, [rsp + 12]",
                "mov [rbp - 8], rcx",
                "mov [rbp - 16], rdx",
                ".endif",
                "lea rsp, [rbp - 64]",
                "pop r11",
                "pop r10",
                "pop r9",
                "pop r8",
                "pop rdi",
                "pop rsi",
                "pop rdx",
                "pop rcx",
                "pop rbp",
                "ret",
                shape = const $crate::op::shape_for::<$crate::op::$group::$name>($function),
                counter = const $crate::arch::shape::counter,
                msr_read = const $crate::arch::shape::msr_read,
                msr_write = const $crate::arch::shape::msr_write,
                base_read = const $crate::arch::shape::base_read,
                base_write = const $crate::arch::shape::base_write,
                port_in = const $crate::arch::shape::port_in,
                port_out = const $crate::arch::shape::port_out,
                cpuid = const $crate::arch::shape::cpuid,
                function = sym $function,
            )
        }
    };
}
