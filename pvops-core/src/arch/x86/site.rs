//! Sites of 32-bit code.

/// The call of a site: by the slot's absolute address, for there is no other.
macro_rules! site_call {
    () => {
        "call dword ptr [pvops_op_table + {pvops_slot}]"
    };
}

/// A preserve site, between two other pieces of assembly.
macro_rules! preserve_site {
    ($op:ty, $around:tt, $named:tt, [$($operand:tt)*]) => {
        $crate::arch::site_asm!($op, $around, $named, [
            $($operand)*
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            options(nostack)
        ])
    };
}

/// A preserve site with the arguments' words in registers, and the fourth on the stack.
macro_rules! register_site {
    // One argument has two words at most.
    ($op:ty, ($($a:ident)?), $eax:tt, $edx:tt) => {{
        let [first, second, ..] = $crate::arch::words!($($a)?);
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("eax") first => $eax, inout("edx") second => $edx, out("ecx") _,
        ])
    }};
    ($op:ty, ($($a:ident),*), $eax:tt, $edx:tt) => {{
        let [first, second, third, fourth] = $crate::arch::words!($($a),*);
        $crate::arch::preserve_site!(
            $op,
            (
                ".if {pvops_words} > 3\npush {pvops_fourth}\n.endif",
                ".if {pvops_words} > 3\nadd esp, 4\n.endif"
            ),
            [
                pvops_words = const <$op as $crate::Op>::ARGUMENT_WORDS,
                pvops_fourth = in(reg) fourth,
            ],
            [inout("eax") first => $eax, inout("edx") second => $edx, inout("ecx") third => _,]
        )
    }};
}

/// A C site: the words on the stack, which is aligned again behind them.
macro_rules! c_site {
    ($op:ty, $words:expr, [$($operand:tt)*]) => {{
        const { assert!(<$op as $crate::Op>::ARGUMENT_WORDS <= 3) };
        let [first, second, third, _] = $words;
        $crate::arch::site_asm!(
            $op,
            (
                "
                .if {pvops_words} > 0
                sub esp, 16 - 4 * {pvops_words}
                .endif
                .if {pvops_words} > 2
                push {pvops_third}
                .endif
                .if {pvops_words} > 1
                push {pvops_second}
                .endif
                .if {pvops_words} > 0
                push {pvops_first}
                .endif
                ",
                "
                .if {pvops_words} > 0
                add esp, 16
                .endif
                "
            ),
            [
                pvops_words = const <$op as $crate::Op>::ARGUMENT_WORDS,
                pvops_first = in(reg) first,
                pvops_second = in(reg) second,
                pvops_third = in(reg) third,
            ],
            [$($operand)* clobber_abi("C")]
        )
    }};
}

/// The words of arguments.
macro_rules! words {
    ($($argument:expr),*) => {{
        #[allow(unused_mut)]
        let mut words = $crate::arch::Words::new();
        $(words.push($argument);)*
        words.into_array()
    }};
}

/// The site of an op, by the op's shape: puts the operands where the shape wants them.
macro_rules! call_site {
    (plain, $op:ty, ($($a:ident),*)) => {
        $crate::arch::register_site!($op, ($($a),*), _, _)
    };
    (plain, $op:ty, ($($a:ident),*) -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::register_site!($op, ($($a),*), low, high);
        <$result as $crate::op::FromRegister>::from_register(
            u64::from(high) << 32 | u64::from(low)
        )
    }};
    (flags_read, $op:ty, () -> $result:ty) => {{
        let result: $result;
        $crate::arch::preserve_site!($op, ("", ""), [], [out("eax") result,]);
        result
    }};
    (flags_write, $op:ty, ($($a:ident)?)) => {
        $crate::arch::preserve_site!($op, ("", ""), [], [$(in("eax") $a,)?])
    };
    (scratch, $op:ty, ()) => {
        $crate::arch::call_site!(plain, $op, ())
    };
    (counter, $op:ty, () -> $result:ty) => {
        $crate::arch::call_site!(plain, $op, () -> $result)
    };
    (msr_read, $op:ty, ($index:ident) -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("ecx") $index => _, out("eax") low, out("edx") high,
        ]);
        u64::from(high) << 32 | u64::from(low)
    }};
    (msr_write, $op:ty, ($index:ident, $value:ident)) => {
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("ecx") $index => _,
            inout("eax") $value as u32 => _, inout("edx") ($value >> 32) as u32 => _,
        ])
    };
    (port_in, $op:ty, ($port:ident) -> $result:ty) => {{
        let result: u32;
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("edx") u32::from($port) => _, out("eax") result, out("ecx") _,
        ]);
        result as $result
    }};
    (port_out, $op:ty, ($port:ident, $value:ident)) => {
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("edx") u32::from($port) => _, inout("eax") u32::from($value) => _,
            out("ecx") _,
        ])
    };
    (cpuid, $op:ty, ($leaf:ident, $subleaf:ident) -> $result:ty) => {{
        let (eax, ebx, ecx, edx): (u32, u32, u32, u32);
        $crate::arch::preserve_site!($op, ("", ""), [], [
            inout("eax") $leaf => eax, out("ebx") ebx, inout("ecx") $subleaf => ecx,
            out("edx") edx,
        ]);
        CpuIdResult { eax, ebx, ecx, edx }
    }};
    // All registers but esp go along as they are.
    (exit, $op:ty, ($frame:ident) -> $result:ty) => {
        $crate::arch::site_asm!(
            $op, ("mov esp, {pvops_frame}", ""), [pvops_frame = in(reg) $frame,],
            [options(noreturn)]
        )
    };
    (sysexit, $op:ty, ($address:ident, $stack:ident) -> $result:ty) => {
        $crate::arch::site_asm!($op, ("", ""), [], [
            in("edx") $address, in("ecx") $stack, options(noreturn)
        ])
    };
    (c, $op:ty, ($($a:ident),*)) => {
        $crate::arch::c_site!($op, $crate::arch::words!($($a),*), [])
    };
    (c, $op:ty, ($($a:ident),*) -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::c_site!($op, $crate::arch::words!($($a),*), [
            lateout("eax") low, lateout("edx") high,
        ]);
        <$result as $crate::op::FromRegister>::from_register(
            u64::from(high) << 32 | u64::from(low)
        )
    }};
    (c_msr_read, $op:ty, ($index:ident) -> $result:ty) => {{
        let mut value = 0;
        let place = &raw mut value;
        let access = $crate::arch::call_site!(c, $op, ($index, place) -> $crate::msr::MsrAccess);
        access.ok().map(|()| value)
    }};
    (c_msr_write, $op:ty, ($index:ident, $value:ident) -> $result:ty) => {{
        let access =
            $crate::arch::call_site!(c, $op, ($index, $value) -> $crate::msr::MsrAccess);
        access.ok()
    }};
}

pub(crate) use {c_site, call_site, preserve_site, register_site, site_call, words};
