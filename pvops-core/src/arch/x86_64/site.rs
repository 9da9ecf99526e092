//! Sites of 64-bit code.

/// The call of a site.
macro_rules! site_call {
    () => {
        "call qword ptr [rip + pvops_op_table + {pvops_slot}]"
    };
}

#[cfg(not(target_feature = "sse"))]
macro_rules! preserve_asm {
    ($op:ty, $around:tt, $named:tt, [$($operand:tt)*]) => {
        $crate::arch::site_asm!($op, $around, $named, [$($operand)* options(nostack)])
    };
}

#[cfg(all(target_feature = "sse", not(target_feature = "avx512f")))]
macro_rules! preserve_asm {
    ($op:ty, $around:tt, $named:tt, [$($operand:tt)*]) => {
        $crate::arch::vector_asm!($op, $around, $named, [$($operand)*])
    };
}

#[cfg(target_feature = "avx512f")]
macro_rules! preserve_asm {
    ($op:ty, $around:tt, $named:tt, [$($operand:tt)*]) => {
        $crate::arch::vector_asm!($op, $around, $named, [
            $($operand)*
            out("xmm16") _, out("xmm17") _, out("xmm18") _, out("xmm19") _,
            out("xmm20") _, out("xmm21") _, out("xmm22") _, out("xmm23") _,
            out("xmm24") _, out("xmm25") _, out("xmm26") _, out("xmm27") _,
            out("xmm28") _, out("xmm29") _, out("xmm30") _, out("xmm31") _,
            out("k1") _, out("k2") _, out("k3") _, out("k4") _,
            out("k5") _, out("k6") _, out("k7") _,
        ])
    };
}

#[cfg(target_feature = "sse")]
macro_rules! vector_asm {
    ($op:ty, $around:tt, $named:tt, [$($operand:tt)*]) => {
        $crate::arch::site_asm!($op, $around, $named, [
            $($operand)*
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        ])
    };
}

/// A preserve site with nothing around it.
macro_rules! preserve_site {
    ($op:ty, [$($operand:tt)*]) => {
        $crate::arch::preserve_asm!($op, ("", ""), [], [$($operand)*])
    };
}

/// A C site.
macro_rules! c_site {
    ($op:ty, [$($operand:tt)*]) => {
        $crate::arch::site_asm!($op, ("", ""), [], [$($operand)* clobber_abi("C")])
    };
}

/// The site of an op, by the op's shape: puts the operands where the shape wants them.
macro_rules! call_site {
    (plain, $op:ty, ()) => {
        $crate::arch::preserve_site!($op, [out("rax") _,])
    };
    (plain, $op:ty, ($a:ident)) => {
        $crate::arch::preserve_site!($op, [in("rdi") $crate::arch::register($a), out("rax") _,])
    };
    (plain, $op:ty, ($a:ident, $b:ident)) => {
        $crate::arch::preserve_site!($op, [
            in("rdi") $crate::arch::register($a), in("rsi") $crate::arch::register($b),
            out("rax") _,
        ])
    };
    (plain, $op:ty, ($a:ident, $b:ident, $c:ident)) => {
        $crate::arch::preserve_site!($op, [
            in("rdi") $crate::arch::register($a), in("rsi") $crate::arch::register($b),
            in("rdx") $crate::arch::register($c), out("rax") _,
        ])
    };
    (plain, $op:ty, () -> $result:ty) => {{
        let result: u64;
        $crate::arch::preserve_site!($op, [out("rax") result,]);
        <$result as $crate::op::FromRegister>::from_register(result)
    }};
    (plain, $op:ty, ($a:ident) -> $result:ty) => {{
        let result: u64;
        $crate::arch::preserve_site!($op, [in("rdi") $crate::arch::register($a), out("rax") result,]);
        <$result as $crate::op::FromRegister>::from_register(result)
    }};
    (flags_read, $op:ty, () -> $result:ty) => {
        $crate::arch::call_site!(plain, $op, () -> $result)
    };
    (flags_write, $op:ty, ($($a:ident)?)) => {
        $crate::arch::call_site!(plain, $op, ($($a)?))
    };
    (scratch, $op:ty, ()) => {
        $crate::arch::preserve_site!($op, [out("rax") _, out("rcx") _, out("rdx") _,])
    };
    (counter, $op:ty, () -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::preserve_site!($op, [out("eax") low, out("edx") high,]);
        u64::from(high) << 32 | u64::from(low)
    }};
    (base_read, $op:ty, () -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::preserve_site!($op, [out("eax") low, out("edx") high, out("ecx") _,]);
        (u64::from(high) << 32 | u64::from(low)) as $result
    }};
    (base_write, $op:ty, ($value:ident)) => {
        $crate::arch::preserve_site!($op, [
            inout("eax") $value as u32 => _, in("edx") ($value >> 32) as u32, out("ecx") _,
        ])
    };
    (msr_read, $op:ty, ($index:ident) -> $result:ty) => {{
        let (low, high): (u32, u32);
        $crate::arch::preserve_site!($op, [in("ecx") $index, out("eax") low, out("edx") high,]);
        u64::from(high) << 32 | u64::from(low)
    }};
    (msr_write, $op:ty, ($index:ident, $value:ident)) => {
        $crate::arch::preserve_site!($op, [
            in("ecx") $index, inout("eax") $value as u32 => _, in("edx") ($value >> 32) as u32,
        ])
    };
    (port_in, $op:ty, ($port:ident) -> $result:ty) => {{
        let result: u64;
        $crate::arch::preserve_site!($op, [in("dx") $port, out("rax") result,]);
        <$result as $crate::op::FromRegister>::from_register(result)
    }};
    (port_out, $op:ty, ($port:ident, $value:ident)) => {
        $crate::arch::preserve_site!($op, [in("dx") $port, inout("eax") u32::from($value) => _,])
    };
    // LLVM keeps rbx for itself, so it is saved around the site.
    (cpuid, $op:ty, ($leaf:ident, $subleaf:ident) -> $result:ty) => {{
        let (eax, ecx, edx): (u32, u32, u32);
        let rbx: u64;
        $crate::arch::preserve_asm!(
            $op,
            ("mov {pvops_rbx}, rbx", "xchg {pvops_rbx}, rbx"),
            [pvops_rbx = out(reg) rbx,],
            [inout("eax") $leaf => eax, inout("ecx") $subleaf => ecx, out("edx") edx,]
        );
        CpuIdResult { eax, ebx: rbx as u32, ecx, edx }
    }};
    // All registers but rsp go along as they are.
    (exit, $op:ty, ($frame:ident) -> $result:ty) => {
        $crate::arch::site_asm!(
            $op, ("mov rsp, {pvops_frame}", ""), [pvops_frame = in(reg) $frame,],
            [options(noreturn)]
        )
    };
    (c, $op:ty, ()) => {
        $crate::arch::c_site!($op, [])
    };
    (c, $op:ty, ($a:ident)) => {
        $crate::arch::c_site!($op, [in("rdi") $crate::arch::register($a),])
    };
    (c, $op:ty, ($a:ident, $b:ident)) => {
        $crate::arch::c_site!($op, [
            in("rdi") $crate::arch::register($a), in("rsi") $crate::arch::register($b),
        ])
    };
    (c, $op:ty, ($a:ident, $b:ident, $c:ident)) => {
        $crate::arch::c_site!($op, [
            in("rdi") $crate::arch::register($a), in("rsi") $crate::arch::register($b),
            in("rdx") $crate::arch::register($c),
        ])
    };
    (c, $op:ty, () -> $result:ty) => {{
        let result: u64;
        $crate::arch::c_site!($op, [out("rax") result,]);
        <$result as $crate::op::FromRegister>::from_register(result)
    }};
    (c, $op:ty, ($a:ident) -> $result:ty) => {{
        let result: u64;
        $crate::arch::c_site!($op, [in("rdi") $crate::arch::register($a), out("rax") result,]);
        <$result as $crate::op::FromRegister>::from_register(result)
    }};
    (c, $op:ty, ($a:ident, $b:ident) -> $result:ty) => {{
        let result: u64;
        $crate::arch::c_site!($op, [
            in("rdi") $crate::arch::register($a), in("rsi") $crate::arch::register($b),
            out("rax") result,
        ]);
        <$result as $crate::op::FromRegister>::from_register(result)
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

#[cfg(target_feature = "sse")]
pub(crate) use vector_asm;
pub(crate) use {c_site, call_site, preserve_asm, preserve_site, site_call};
