//! What a PV guest of Xen pays for the instructions that Xen emulates, and for the calls that take
//! their place.
//!
//! Each piece of work is done in up to three ways: `instruction`, by what hardware has, which Xen emulates, or
//! refuses by a #GP; `call`, by a bare hypercall; `op`, as a kernel does it.

mod tables;

use core::arch::{asm, naked_asm};

use pvops_backend_xen::memory::FrameNumber;
use pvops_backend_xen::{HypercallNumber, hypercall};
use pvops_core::op::cpu::interrupt_return;
use pvops_core::op::irq;
use pvops_core::{Op, OpTable, asm_op, asm_site, cpu, extable_entry, mmu};

use super::{aside, tsc};
use crate::address_space::AddressSpace;
use crate::console::report;
use crate::layout::{PAGE, SCRATCH};
use crate::per_cpu::AREA_OFFSET;
use crate::{paging, trap};

/// Measures and reports all, on a CPU that nobody needs meanwhile.
#[inline(never)]
pub(crate) fn measure() {
    aside(|| {
        tables::measure();
        registers(&Counts);
    });
}

/// Tells what one way to do a piece of work costs. The body gets the number of the round.
pub(crate) trait Meter {
    fn way(&self, work: &str, way: &str, body: impl FnMut(u64));
}

/// All that is not about page tables.
pub(crate) fn registers(meter: &impl Meter) {
    meter.way("null", "call", |_| call(HypercallNumber::XEN_VERSION, [0]));
    control_registers(meter);
    debug_register(meter);
    fs_base(meter);
    cpuid(meter);
    flushes(meter);
    task_switched(meter);
    interrupt_flag(meter);
    meter.way("return", "op", |_| return_here());
}

/// Reports a `measure` line.
struct Counts;

const ROUNDS: u64 = 100;
const GENERAL_PROTECTION: u8 = 13;

impl Meter for Counts {
    /// Measures one way, without the loop around it, and reports it.
    fn way(&self, work: &str, way: &str, body: impl FnMut(u64)) {
        let refused = trap::count(GENERAL_PROTECTION);
        let cost = rounds(body).saturating_sub(rounds(|_| ()));
        let refused = trap::count(GENERAL_PROTECTION) - refused;
        report!(
            "\"event\":\"measure\",\"name\":\"xen.{work}.{way}\",\"rounds\":{ROUNDS},\"cost\":{cost},\
             \"refused\":{refused}"
        );
    }
}

#[inline(always)]
fn rounds(mut body: impl FnMut(u64)) -> u64 {
    let start = tsc();
    for round in 0..ROUNDS {
        body(core::hint::black_box(round));
    }
    tsc() - start
}

/// An instruction that goes on behind itself if it is refused. It may change rax.
macro_rules! instruction {
    ($instruction:literal $(, $($operands:tt)*)?) => {
        // SAFETY: the callers say what for.
        unsafe {
            asm!(
                concat!("771: ", $instruction),
                "772:",
                extable_entry!("771b", "772b"),
                $($($operands)*)?
            )
        }
    };
}

#[inline(always)]
fn call<const COUNT: usize>(number: HypercallNumber, arguments: [u64; COUNT]) {
    // SAFETY: the cases set what is set already, or put it back.
    let result = unsafe { hypercall(number, arguments) };
    assert!(result.is_ok(), "Xen refuses call {}", number.0);
}

/// `struct mmuext_op` of Xen's public/xen.h.
#[repr(C)]
struct Extended {
    command: u32,
    argument: u64,
    more: u64,
}

impl Extended {
    const NEW_BASEPTR: u32 = 5;
    const TLB_FLUSH_LOCAL: u32 = 6;
    const INVLPG_LOCAL: u32 = 7;
}

#[inline(always)]
fn extended(command: u32, argument: u64) {
    let operation = Extended {
        command,
        argument,
        more: 0,
    };
    let list = (&raw const operation).expose_provenance() as u64;
    call(HypercallNumber::MMUEXT_OP, [list, 1, 0, DOMAIN_SELF]);
}

/// DOMID_SELF.
const DOMAIN_SELF: u64 = 0x7ff0;

/// CR3 from one address space to another and back.
fn control_registers(meter: &impl Meter) {
    let other = AddressSpace::new(&[])
        .unwrap_or_else(|error| panic!("no memory for an address space: {error:?}"));
    let roots = [other.root(), paging::root()];
    let machine = roots.map(|root| machine_frame(root) * PAGE as u64);
    let of = |round: u64| round as usize % roots.len();
    meter.way("cr3", "instruction", |round| {
        // Both have the kernel in them.
        instruction!("mov cr3, rdi", in("rdi") machine[of(round)], out("rax") _);
    });
    meter.way("cr3", "call", |round| {
        extended(Extended::NEW_BASEPTR, machine[of(round)] / PAGE as u64);
    });
    meter.way("cr3", "op", |round| {
        // SAFETY: as above.
        unsafe { mmu::write_cr3(roots[of(round)] as usize) };
    });
    // SAFETY: as above. The other one is given back now, whatever the last round was.
    unsafe { mmu::write_cr3(paging::root() as usize) };
}

/// The machine's number of a frame.
fn machine_frame(physical: u64) -> u64 {
    FrameNumber::at_physical(physical)
        .unwrap_or_else(|| panic!("there is no memory at {physical:#x}"))
        .0
}

fn debug_register(meter: &impl Meter) {
    // No breakpoint is on.
    meter.way("debug_register", "instruction", |_| {
        instruction!("mov dr0, rdi", in("rdi") 0_u64, out("rax") _);
    });
    meter.way("debug_register", "call", |_| {
        call(HypercallNumber::SET_DEBUGREG, [0, 0]);
    });
    meter.way("debug_register", "op", |_| {
        // SAFETY: as above.
        unsafe { cpu::write_debug_register(0, 0) };
    });
}

/// IA32_FS_BASE. Intel SDM volume 4, table 2-2.
const FS_BASE: u32 = 0xc000_0100;
/// SEGBASE_FS of Xen's public/arch-x86/xen-x86_64.h.
const SEGMENT_FS: u64 = 0;

fn fs_base(meter: &impl Meter) {
    // The kernel uses no FS.
    meter.way("fs_base", "instruction", |_| {
        instruction!(
            "wrmsr", in("ecx") FS_BASE, inout("eax") 0 => _, in("edx") 0
        );
    });
    meter.way("fs_base", "call", |_| {
        call(HypercallNumber::SET_SEGMENT_BASE, [SEGMENT_FS, 0]);
    });
    meter.way("fs_base", "op", |_| {
        // SAFETY: as above.
        unsafe { cpu::write_fs_base(0) };
    });
}

/// Without Xen's prefix the CPU answers, not Xen.
fn cpuid(meter: &impl Meter) {
    meter.way("cpuid", "instruction", |_| {
        core::hint::black_box(core::arch::x86_64::__cpuid_count(0, 0));
    });
    meter.way("cpuid", "op", |_| {
        core::hint::black_box(cpu::cpuid(0, 0));
    });
}

fn flushes(meter: &impl Meter) {
    let page = SCRATCH.start;
    meter.way("flush_page", "instruction", |_| {
        instruction!("invlpg [rdi]", in("rdi") page, out("rax") _);
    });
    meter.way("flush_page", "call", |_| {
        extended(Extended::INVLPG_LOCAL, page as u64);
    });
    meter.way("flush_page", "op", |_| mmu::flush_tlb_page(page));

    let cr3 = machine_frame(mmu::read_cr3() as u64) * PAGE as u64;
    meter.way("flush", "instruction", |_| {
        // The tables that are in use.
        instruction!("mov cr3, rdi", in("rdi") cr3, out("rax") _);
    });
    meter.way("flush", "call", |_| extended(Extended::TLB_FLUSH_LOCAL, 0));
    meter.way("flush", "op", |_| mmu::flush_tlb());
}

/// Cleared and set, and cleared in the end.
fn task_switched(meter: &impl Meter) {
    const TASK_SWITCHED: usize = 1 << 3;
    let set = cpu::read_cr0() | TASK_SWITCHED;
    meter.way("task_switched", "instruction", |_| {
        // The kernel uses no floating point.
        instruction!("clts", out("rax") _);
        instruction!("mov cr0, rdi", in("rdi") set, out("rax") _);
    });
    meter.way("task_switched", "call", |_| {
        call(HypercallNumber::FPU_TASKSWITCH, [0]);
        call(HypercallNumber::FPU_TASKSWITCH, [1]);
    });
    meter.way("task_switched", "op", |_| {
        cpu::clear_task_switched();
        // SAFETY: as above.
        unsafe { cpu::set_task_switched() };
    });
    cpu::clear_task_switched();
}

/// Interrupts on and off.
fn interrupt_flag(meter: &impl Meter) {
    meter.way("interrupt_flag", "instruction", |_| {
        // Xen ignores both.
        instruction!("sti", out("rax") _);
        instruction!("cli", out("rax") _);
    });
    let enable = function::<irq::enable>();
    let disable = function::<irq::disable>();
    meter.way("interrupt_flag", "call", |_| {
        // SAFETY: what the table has for the ops changes no register.
        unsafe {
            asm!("call {}", in(reg) enable, out("rax") _);
            asm!("call {}", in(reg) disable, out("rax") _);
        }
    });
    meter.way("interrupt_flag", "direct_call", |_| {
        // SAFETY: the functions change no register but rax.
        unsafe {
            asm!("call {}", "call {}", sym unmask, sym mask, out("rax") _);
        }
    });
    meter.way("interrupt_flag", "op", |_| {
        // SAFETY: interrupts were off for long enough.
        unsafe { pvops_core::irq::enable() };
        pvops_core::irq::disable();
    });
}

/// Interrupts on as Linux has it on Xen: a function that its call sites call directly. It unmasks upcalls in
/// the CPU's record, and has those made that are pending.
#[unsafe(naked)]
extern "C" fn unmask() {
    naked_asm!(
        "mov byte ptr gs:[{pending} + 1], 0",
        "cmp byte ptr gs:[{pending}], 0",
        "jne 2f",
        "ret",
        "2: jmp qword ptr [rip + pvops_op_table + {enable}]",
        pending = const AREA_OFFSET,
        enable = const <irq::enable as Op>::NUMBER.0 as usize * size_of::<usize>(),
    )
}

/// Interrupts off, in the same way.
#[unsafe(naked)]
extern "C" fn mask() {
    naked_asm!(
        "mov byte ptr gs:[{pending} + 1], 1",
        "ret",
        pending = const AREA_OFFSET,
    )
}

/// What the op table has for an op.
fn function<O: Op>() -> usize {
    let slots = (&raw const *OpTable::get()).cast::<usize>();
    // SAFETY: the table has a word for each op.
    unsafe { slots.add(usize::from(O::NUMBER.0)).read_volatile() }
}

/// Returns from an interrupt that came here, with interrupts off.
#[unsafe(naked)]
extern "C" fn return_here() {
    naked_asm!(
        "mov rax, rsp",
        "mov ecx, ss",
        "push rcx",
        "push rax",
        "push 2",
        // As Xen says that the kernel was interrupted, not a program.
        "mov ecx, cs",
        "and ecx, -4",
        "push rcx",
        "lea rcx, [rip + 2f]",
        "push rcx",
        asm_site!("interrupt_return"),
        "2: ret",
        interrupt_return = const asm_op::<interrupt_return>(),
    )
}
