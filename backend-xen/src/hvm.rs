//! Guests of the CPU's virtualization: PVH and HVM, which are in ring 0 and have frames of their own.

mod callback;
mod parameters;
mod physical_map;
mod start_cpu;

use pvops_backend_native::{self as native, HypercallInstruction};
use pvops_core::backend::{BindError, Host};
use pvops_core::binding::Binding;
use pvops_core::probe::{Interface, Interfaces, Signature};
use pvops_core::tsc::TscFrequency;
use pvops_core::{Bindings, Kernel, bindings, call, cpu, preserve, use_before_install};

pub use callback::{Callback, callback, set_callback};
pub(crate) use parameters::parameter;
pub use start_cpu::start_cpus_by_call;

use crate::error::XenError;
use crate::poll::YIELD_CPU;
use crate::shared_frame::SharedFrame;
use crate::vcpu::{self, VcpuId};
use crate::version::{Features, features};
use crate::{
    clock, console, event_channel, hypercall, lock, runstate, shared_frame, shared_info, shutdown,
};

/// How Xen announces itself. Xen's public/arch-x86/cpuid.h.
pub(crate) const SIGNATURE: Signature = Signature::new(*b"XenVMMXenVMM");

/// Lets calls out before the backend is installed, and has the console be Xen's, for a kernel that was
/// entered in ring 0 and wants to know from Xen where its memory is. Whether Xen is there to be called; if it
/// is not, nothing has changed. On the boot CPU, alone.
///
/// # Safety
///
/// As for [`use_before_install`].
pub unsafe fn start(interfaces: &Interfaces) -> bool {
    // SAFETY: as the caller vouches.
    interfaces.find(&SIGNATURE).is_some() && unsafe { start_calls() }.is_some()
}

/// What is bound of the `system` ops, with calls let out. Nothing if it is not known by which
/// instruction.
///
/// # Safety
///
/// As for [`use_before_install`]; Xen is there.
unsafe fn start_calls() -> Option<bindings::system> {
    let mut bindings = Bindings {
        system: system(HypercallInstruction::of(&cpu::cpuid)?),
        ..native::BEFORE_INSTALL
    };
    // SAFETY: the functions are the native ones, good in ring 0, the instruction that Xen takes, and a
    // port that Xen has.
    unsafe { use_before_install(&bindings) };
    hypercall::allow();
    if features().is_ok_and(|features| features.contains(Features::DOM0)) {
        bindings.system.console_byte = console::XEN_CONSOLE;
        // SAFETY: as above, and Xen takes calls.
        unsafe { use_before_install(&bindings) };
    }
    Some(bindings.system)
}

/// Binds what Xen does better and leaves the rest to the hardware, as Xen emulates it.
pub(crate) fn bind(host: &Host<'_>) -> Result<Bindings, BindError> {
    let interface = host
        .interface
        .ok_or(BindError("no Xen interface in CPUID"))?;
    // SAFETY: `bind` is called before anything is installed, on the boot CPU, alone; Xen is there.
    let system =
        unsafe { start_calls() }.ok_or(BindError("it is not known which instruction calls Xen"))?;
    callback::fix_word_size().map_err(|_| BindError("Xen takes no parameter of this guest"))?;
    physical_map::map_shared_info(host.kernel)
        .ok_or(BindError("Xen does not share its page with this guest"))?;
    let clock = start_records(host)?;
    let frequency = TscFrequency::new(clock.scale.tsc_khz(), "xen");
    let native = native::bind_with_tsc(host, frequency)?;
    let mut time = bindings::time {
        stolen_ns: STOLEN_NS,
        ..native.time
    };
    if !is_tsc_as_good(interface) {
        time.clock_ns = CLOCK_NS;
    }
    if clock::start_wall_clock() {
        time.wall_clock_ns = WALL_CLOCK_NS;
    }
    Ok(start_cpu::or_by_call(Bindings {
        time,
        lock: lock::sleeping(native.lock.with_preemption(VCPU_IS_PREEMPTED)),
        system,
        ..native
    }))
}

/// Has Xen keep its records for this CPU, and readies the rest as on hardware.
pub(crate) fn bring_up_cpu(host: &Host<'_>) -> Result<(), BindError> {
    start_records(host)?;
    native::bring_up_cpu(host)?;
    match event_channel::lent_vector() {
        Some(vector) => start_events(host, vector),
        None => Ok(()),
    }
}

/// Has Xen share its page again, where it was, after the domain has moved. CPUs are then brought up as at
/// first.
pub(crate) fn resume(kernel: &dyn Kernel) -> Result<(), XenError> {
    callback::fix_word_size()?;
    physical_map::map_again(kernel)?;
    callback::forget();
    Ok(())
}

/// Has events come to this CPU.
fn start_events(host: &Host<'_>, vector: u8) -> Result<(), BindError> {
    let cpu = host.kernel.cpu_index();
    let (Some(vcpu), Some(frame)) = (vcpu::id(cpu), shared_frame::of(cpu)) else {
        return Err(BindError("this CPU shares nothing with Xen"));
    };
    event_channel::bring_up(host.kernel, vcpu, frame)?;
    lock::bring_up(host.kernel).map_err(|_| BindError("Xen gives this CPU no port to poll"))?;
    callback::start(vcpu, vector)
}

/// Leaves this CPU as it is before it is started.
pub(crate) fn take_down_cpu(host: &Host<'_>) {
    native::take_down_cpu(host);
    let cpu = host.kernel.cpu_index();
    event_channel::take_down(cpu);
    if let Some(vcpu) = vcpu::id(cpu) {
        // No timer runs where none was set.
        let _ = vcpu::stop_singleshot_timer(vcpu);
    }
}

/// Has Xen begin to write this CPU's records, and returns what is in that of the clock.
fn start_records(host: &Host<'_>) -> Result<pvops_core::pvclock::Parameters, BindError> {
    const NO_MEMORY: BindError = BindError("no memory for what this CPU shares with Xen");
    let cpu = host.kernel.cpu_index();
    let frame = shared_frame::of_this_cpu(host.kernel).ok_or(NO_MEMORY)?;
    let vcpu = vcpu_id(host);
    if !shared_info::is_known(cpu, &frame.vcpu_info) {
        register_record(host.kernel, cpu, vcpu, frame)
            .map_err(|_| BindError("Xen refuses the record of this CPU"))?;
    }
    // SAFETY: the record is this CPU's.
    unsafe { runstate::start(host.kernel, vcpu, &frame.runstate) }
        .map_err(|_| BindError("Xen refuses to note the states of this CPU"))?;
    clock::start(host.kernel).ok_or(BindError("Xen keeps no time for this CPU"))
}

/// Has Xen use the record in a CPU's frame: of this one, or one that does not run.
fn register_record(
    kernel: &dyn Kernel,
    cpu: usize,
    vcpu: VcpuId,
    frame: &'static SharedFrame,
) -> Result<(), XenError> {
    let place = shared_frame::place(kernel, &frame.vcpu_info);
    let (number, offset) = place.ok_or(XenError::BAD_ADDRESS)?;
    // SAFETY: the frame is shared for good.
    unsafe { vcpu::register_vcpu_info(vcpu, number, offset)? };
    shared_info::set_vcpu_info(cpu, &frame.vcpu_info);
    vcpu::set_id(cpu, vcpu);
    Ok(())
}

/// Xen's number of this CPU: leaf 4 of the interface, ebx where bit 3 of eax says so, else the
/// kernel's. Xen's public/arch-x86/cpuid.h.
fn vcpu_id(host: &Host<'_>) -> VcpuId {
    const LEAF: u32 = 4;
    const EAX_VCPU_ID_PRESENT: u32 = 1 << 3;
    let leaf = host
        .interface
        .and_then(|interface| interface.leaf(&cpu::cpuid, LEAF));
    match leaf {
        Some(leaf) if leaf.eax & EAX_VCPU_ID_PRESENT != 0 => VcpuId(leaf.ebx),
        _ => VcpuId(host.kernel.cpu_index() as u32),
    }
}

/// Whether the time-stamp counter is as good a clock as Xen's, and so the better one, since it is
/// cheaper: it runs at one rate, always, Xen does not emulate it, and says that the CPUs' counters
/// agree. Leaf 3 of the interface; Xen's public/arch-x86/cpuid.h.
fn is_tsc_as_good(interface: &Interface) -> bool {
    const LEAF: u32 = 3;
    const EAX_EMULATED: u32 = 1 << 0;
    const EAX_HOST_RELIABLE: u32 = 1 << 1;
    let is_reliable = interface
        .leaf(&cpu::cpuid, LEAF)
        .is_some_and(|leaf| leaf.eax & (EAX_EMULATED | EAX_HOST_RELIABLE) == EAX_HOST_RELIABLE);
    is_reliable && has_invariant_tsc()
}

/// AMD APM volume 3, appendix E.4.6, and Intel SDM volume 2, CPUID: leaf 0x80000007, edx bit 8.
fn has_invariant_tsc() -> bool {
    const LEAF: u32 = 0x8000_0007;
    cpu::cpuid(0x8000_0000, 0).eax >= LEAF && cpu::cpuid(LEAF, 0).edx & 1 << 8 != 0
}

/// What this backend binds in a PVH or HVM guest, for tools that show what it puts at call sites.
/// Nothing is touched.
pub fn typical() -> Bindings {
    let native = native::typical();
    Bindings {
        time: bindings::time {
            clock_ns: CLOCK_NS,
            wall_clock_ns: WALL_CLOCK_NS,
            stolen_ns: STOLEN_NS,
            ..native.time
        },
        lock: native
            .lock
            .with_preemption(VCPU_IS_PREEMPTED)
            .with_sleep(lock::WAIT, lock::KICK),
        system: system(HypercallInstruction::Vmcall),
        ..native
    }
}

const fn system(instruction: HypercallInstruction) -> bindings::system {
    bindings::system {
        hypercall: instruction.binding(),
        console_byte: console::DEBUG_PORT,
        poweroff: call!(system::poweroff, shutdown::poweroff),
        reboot: call!(system::reboot, shutdown::reboot),
        report_crash: call!(system::report_crash, shutdown::report_crash),
        yield_cpu: YIELD_CPU,
    }
}

const CLOCK_NS: Binding<pvops_core::op::time::clock_ns> =
    preserve!(time::clock_ns, clock::clock_ns);
const WALL_CLOCK_NS: Binding<pvops_core::op::time::wall_clock_ns> =
    call!(time::wall_clock_ns, clock::wall_clock_ns);
const STOLEN_NS: Binding<pvops_core::op::time::stolen_ns> =
    preserve!(time::stolen_ns, runstate::stolen_ns);
const VCPU_IS_PREEMPTED: Binding<pvops_core::op::lock::vcpu_is_preempted> =
    preserve!(lock::vcpu_is_preempted, runstate::vcpu_is_preempted);
