//! Writes down what this kernel and its host say to each other while a backend is installed: CPUID,
//! model-specific registers, the time-stamp counter, hypercalls with the memory that they lead to, and what
//! the host writes to shared frames meanwhile. Machine lines, of which `cargo xtask record` makes what
//! `pvops_core::testing::Recording` reads.

mod frames;
mod hypercall;
mod question;
mod structures;
mod text;

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::mem::transmute_copy;

use pvops_core::backend;
use pvops_core::msr::{MsrAccess, MsrFault};
use pvops_core::op::{self, COp};
use pvops_core::probe::{CpuIdResult, Interfaces};
use pvops_core::{
    Bindings, bindings, bring_up_cpu, call, cpu, install, interpose, preserve, time,
    use_before_install,
};
use x86_64::registers::model_specific::Msr;

use crate::{BACKENDS, exit, kvm, native, xen};
use frames::{InFrame, Recorded};
use text::note;

/// Looks for hypervisors once more, installs the backend called `name`, or the one that fits best, brings
/// this CPU up and reads the clocks; with all that is said meanwhile on the console. For kernels in ring 0.
///
/// # Safety
///
/// As for [`install`] and [`bring_up_cpu`].
pub(crate) unsafe fn boot(name: Option<&str>) -> ! {
    // SAFETY: the functions are those of before, with lines besides; the native ones work in ring 0.
    unsafe {
        interpose(over);
        use_before_install(&native::BEFORE_INSTALL);
    }
    let interfaces = Interfaces::scan(&cpu::cpuid);
    let backend = backend::select(&BACKENDS, &interfaces, name)
        .unwrap_or_else(|error| panic!("no backend: {error}"));
    if backend.name == xen::BACKEND.name {
        question::are_xens();
    }
    // SAFETY: as the caller says.
    unsafe {
        install(backend, &Recorded, &interfaces)
            .unwrap_or_else(|error| panic!("the backend {}: {error}", backend.name));
        bring_up_cpu().unwrap_or_else(|error| panic!("the boot CPU: {error}"));
    }
    // What has changed since the last call may be the kernel's own doing.
    frames::look();
    for _ in 0..READINGS {
        let before = cpu::read_tsc_ordered();
        let clock_ns = time::clock_ns();
        let after = cpu::read_tsc_ordered();
        frames::note();
        note(format_args!("clock {before:#x} {clock_ns:#x} {after:#x}"));
    }
    time::wall_clock_ns();
    if backend.name == kvm::BACKEND.name {
        // For the call alone: hosts whose clock is another refuse.
        let _ = kvm::clock_pair();
    }
    text::print();
    exit::pass()
}

const READINGS: usize = 3;

/// The same bindings, with what is recorded in front.
fn over(bindings: Bindings) -> Bindings {
    Bindings {
        cpu: bindings::cpu {
            cpuid: preserve!(cpu::cpuid, cpuid),
            read_tsc: preserve!(cpu::read_tsc, read_tsc),
            read_tsc_ordered: preserve!(cpu::read_tsc_ordered, read_tsc),
            read_msr: preserve!(cpu::read_msr, read_msr),
            write_msr: preserve!(cpu::write_msr, write_msr),
            read_msr_safe: call!(cpu::read_msr_safe, read_msr_safe),
            write_msr_safe: call!(cpu::write_msr_safe, write_msr_safe),
            ..bindings.cpu
        },
        system: bindings::system {
            hypercall: hypercall::over(&bindings),
            ..bindings.system
        },
        ..bindings
    }
}

/// Leaves of zeros are left out.
unsafe extern "C" fn cpuid(leaf: u32, subleaf: u32, result: *mut CpuIdResult) {
    let CpuidResult { eax, ebx, ecx, edx } = __cpuid_count(leaf, subleaf);
    if [eax, ebx, ecx, edx] != [0; 4] {
        note(format_args!(
            "cpuid {leaf:#x} {subleaf:#x} = {eax:#x} {ebx:#x} {ecx:#x} {edx:#x}"
        ));
    }
    // SAFETY: the thunk passes a place for the result.
    unsafe { result.write(CpuIdResult { eax, ebx, ecx, edx }) };
}

/// For both ops, as the ordered reading is good for either.
unsafe extern "C" fn read_tsc() -> u64 {
    let value: u64;
    // SAFETY: waits for earlier instructions, and reads the counter.
    unsafe {
        asm!(
            "lfence", "rdtsc", "shl rdx, 32", "or rax, rdx",
            out("rax") value, out("rdx") _, options(nostack)
        );
    }
    note(format_args!("rdtsc = {value:#x}"));
    value
}

unsafe extern "C" fn read_msr(index: u32) -> u64 {
    // SAFETY: the op's caller says that the register exists.
    let value = unsafe { Msr::new(index).read() };
    note(format_args!("rdmsr {index:#x} = {value:#x}"));
    value
}

unsafe extern "C" fn write_msr(index: u32, value: u64) {
    frames::look();
    // SAFETY: the op's caller vouches for the write.
    unsafe { Msr::new(index).write(value) };
    note(format_args!("wrmsr {index:#x} {}", InFrame(value)));
    frames::note();
}

unsafe extern "C" fn read_msr_safe(index: u32, value: *mut u64) -> MsrAccess {
    // SAFETY: as the op's caller says.
    let access = unsafe { native_function::<op::cpu::read_msr_safe>()(index, value) };
    match access.ok() {
        // SAFETY: the register has given it.
        Ok(()) => note(format_args!("rdmsr {index:#x} = {:#x}", unsafe {
            value.read()
        })),
        Err(MsrFault) => note(format_args!("rdmsr {index:#x} = fault")),
    }
    access
}

unsafe extern "C" fn write_msr_safe(index: u32, value: u64) -> MsrAccess {
    frames::look();
    // SAFETY: as the op's caller says.
    let access = unsafe { native_function::<op::cpu::write_msr_safe>()(index, value) };
    let fault = match access.ok() {
        Ok(()) => "",
        Err(MsrFault) => " = fault",
    };
    note(format_args!("wrmsr {index:#x} {}{fault}", InFrame(value)));
    frames::note();
    access
}

/// What the native backend calls for the op.
fn native_function<O: COp>() -> O::Function {
    let target = native::BEFORE_INSTALL.as_slice()[usize::from(O::NUMBER.0)].target();
    const { assert!(size_of::<O::Function>() == size_of::<usize>()) };
    // SAFETY: an op of the C class is bound to functions of its type.
    unsafe { transmute_copy(&target) }
}
