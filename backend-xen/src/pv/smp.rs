//! The other CPUs of a PV guest: started by a call, and interrupted by event channels.

use core::cell::UnsafeCell;

use pvops_core::binding::Binding;
use pvops_core::cpu_set::{CpuSet, MAX_CPUS};
use pvops_core::cpu_start::{CpuStart, StartStatus};
use pvops_core::{bindings, call};
use spin::Mutex;

use super::{
    KERNEL_CODE, KERNEL_STACK_SEGMENT, descriptors, events, tables, this_cpu, traps, vcpu_record,
};
use crate::error::XenError;
use crate::vcpu::{self, VcpuId};
use crate::{restart, shared_info};

pub(super) const BINDINGS: bindings::smp = bindings::smp {
    start_cpu: call!(smp::start_cpu, start_cpu),
    send_ipi: call!(smp::send_ipi, send_ipi),
    send_ipi_set: call!(smp::send_ipi_set, send_ipi_set),
    send_ipi_others: call!(smp::send_ipi_others, send_ipi_others),
    // Xen flushes the TLBs of other CPUs itself.
    setup_ipi: Binding::nothing(),
    handle_ipi: Binding::nothing(),
};

/// There is none: what it would do is done by event channels. Its ids are the numbers of virtual CPUs.
pub(super) const APIC: bindings::apic = bindings::apic {
    read: call!(apic::read, read_apic),
    write: Binding::nothing(),
    eoi: Binding::nothing(),
    write_icr: call!(apic::write_icr, write_icr),
};

/// Only the interrupts that wait can be read. Intel SDM volume 3, table 12-6.
unsafe extern "C" fn read_apic(register: u32) -> u32 {
    const REQUESTS: core::ops::Range<u32> = 0x20..0x28;
    if REQUESTS.contains(&register) {
        events::waiting(register - REQUESTS.start)
    } else {
        0
    }
}

/// Fixed interrupts and non-maskable ones, to CPUs by id or by shorthand. Intel SDM volume 3, figure
/// 12-12.
unsafe extern "C" fn write_icr(command: u64) {
    const NON_MASKABLE: u64 = 0b100;
    let vector = command as u8;
    let this = this_cpu::index();
    let is_meant = |cpu: &usize| match command >> 18 & 0b11 {
        0b00 => *cpu as u64 == command >> 32,
        0b01 => *cpu == this,
        0b10 => true,
        _ => *cpu != this,
    };
    for cpu in events::online().filter(is_meant) {
        match command >> 8 & 0b111 {
            0b000 | 0b001 => events::send(cpu, vector),
            NON_MASKABLE => send_non_maskable(cpu),
            _ => {}
        }
    }
}

fn send_non_maskable(cpu: usize) {
    const SEND_NMI: u64 = 11;
    // SAFETY: whoever sends one has a handler. A CPU that is up takes it.
    let _ = unsafe { vcpu::plain(SEND_NMI, VcpuId(cpu as u32)) };
}

unsafe extern "C" fn send_ipi(cpu: usize, vector: u8) {
    events::send(cpu, vector);
}

unsafe extern "C" fn send_ipi_set(cpus: *const CpuSet, vector: u8) {
    // SAFETY: the op's caller gives a set.
    unsafe { (*cpus).iter().for_each(|cpu| events::send(cpu, vector)) };
}

unsafe extern "C" fn send_ipi_others(vector: u8) {
    let this = this_cpu::index();
    events::online()
        .filter(|&cpu| cpu != this)
        .for_each(|cpu| events::send(cpu, vector));
}

/// The number is Xen's, and the kernel must give the CPU the same.
unsafe extern "C" fn start_cpu(number: u32, start: *const CpuStart) -> StartStatus {
    // SAFETY: the op's caller vouches for the pointer.
    let start = unsafe { start.read() };
    let registered = pvops_core::kernel()
        .filter(|_| number < MAX_CPUS as u32)
        .map(|kernel| vcpu_record::register(kernel, number as usize));
    let (Some(Ok(())), Some(info)) = (registered, shared_info::of(number as usize)) else {
        return StartStatus::UNAVAILABLE;
    };
    let (Some(root), user) = tables::roots_of(start.page_table) else {
        return StartStatus::BAD_ADDRESS;
    };
    info.upcall_mask
        .store(1, core::sync::atomic::Ordering::Relaxed);
    tables::note_cr3_of(number as usize, start.page_table);
    descriptors::expect(number as usize);
    let context = CONTEXT.lock();
    let pointer = context.0.get();
    let [event, failsafe, syscall] = traps::callbacks();
    // SAFETY: the context is behind the lock.
    unsafe {
        pointer.write(Context {
            flags: IN_KERNEL,
            registers: Registers {
                rdi: start.argument as u64,
                // As after a call.
                rsp: start.stack_top as u64 - 8,
                rip: start.entry as usize as u64,
                cs: KERNEL_CODE,
                ss: KERNEL_STACK_SEGMENT.into(),
                ..Registers::ZERO
            },
            kernel_ss: KERNEL_STACK_SEGMENT.into(),
            kernel_sp: start.stack_top as u64,
            control: [
                0,
                user.map_or(0, |user| user.0 << 12),
                0,
                root.0 << 12,
                0,
                0,
                0,
                0,
            ],
            event_callback: event,
            failsafe_callback: failsafe,
            syscall_callback: syscall,
            ..Context::ZERO
        });
        let vcpu = VcpuId(number);
        let initialised = match vcpu::initialise(vcpu, &mut *pointer) {
            Err(XenError::EXISTS) => {
                vcpu::wait_until_down(vcpu).map(|()| restart::prepare(number as usize, &start))
            }
            result => result,
        };
        let told = initialised.and_then(|()| vcpu::up(vcpu));
        match told {
            Ok(()) => StartStatus::TOLD,
            Err(_) => {
                descriptors::expect_nobody();
                StartStatus::UNAVAILABLE
            }
        }
    }
}

/// VGCF_in_kernel.
const IN_KERNEL: u64 = 1 << 2;

struct ContextCell(UnsafeCell<Context>);

// SAFETY: behind a lock.
unsafe impl Send for ContextCell {}

static CONTEXT: Mutex<ContextCell> = Mutex::new(ContextCell(UnsafeCell::new(Context::ZERO)));

/// `struct vcpu_guest_context` of Xen's public/arch-x86/xen.h.
#[repr(C)]
struct Context {
    fpu: [u64; 64],
    flags: u64,
    registers: Registers,
    traps: [[u64; 2]; 256],
    ldt_base: u64,
    ldt_entries: u64,
    gdt_frames: [u64; 16],
    gdt_entries: u64,
    kernel_ss: u64,
    kernel_sp: u64,
    control: [u64; 8],
    debug: [u64; 8],
    event_callback: u64,
    failsafe_callback: u64,
    syscall_callback: u64,
    vm_assist: u64,
    fs_base: u64,
    gs_base_kernel: u64,
    gs_base_user: u64,
}

/// `struct cpu_user_regs` of Xen's public/arch-x86/xen-x86_64.h.
#[repr(C)]
struct Registers {
    r15_to_rbp: [u64; 5],
    rbx: u64,
    r11_to_r8: [u64; 4],
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    error_code: u32,
    entry_vector: u32,
    rip: u64,
    cs: u16,
    padding_1: u16,
    saved_upcall_mask: u8,
    padding_2: [u8; 3],
    flags: u64,
    rsp: u64,
    ss: u64,
    es_to_gs: [u64; 4],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Registers>() == 200);
    assert!(offset_of!(Registers, rip) == 128);
    assert!(offset_of!(Registers, rsp) == 152);
    assert!(size_of::<Context>() == 5168);
    assert!(offset_of!(Context, registers) == 520);
    assert!(offset_of!(Context, kernel_ss) == 4968);
    assert!(offset_of!(Context, event_callback) == 5112);
    assert!(offset_of!(Context, gs_base_user) == 5160);
};

impl Registers {
    const ZERO: Registers = Registers {
        r15_to_rbp: [0; 5],
        rbx: 0,
        r11_to_r8: [0; 4],
        rax: 0,
        rcx: 0,
        rdx: 0,
        rsi: 0,
        rdi: 0,
        error_code: 0,
        entry_vector: 0,
        rip: 0,
        cs: 0,
        padding_1: 0,
        saved_upcall_mask: 0,
        padding_2: [0; 3],
        flags: 0,
        rsp: 0,
        ss: 0,
        es_to_gs: [0; 4],
    };
}

impl Context {
    const ZERO: Context = Context {
        fpu: [0; 64],
        flags: 0,
        registers: Registers::ZERO,
        traps: [[0; 2]; 256],
        ldt_base: 0,
        ldt_entries: 0,
        gdt_frames: [0; 16],
        gdt_entries: 0,
        kernel_ss: 0,
        kernel_sp: 0,
        control: [0; 8],
        debug: [0; 8],
        event_callback: 0,
        failsafe_callback: 0,
        syscall_callback: 0,
        vm_assist: 0,
        fs_base: 0,
        gs_base_kernel: 0,
        gs_base_user: 0,
    };
}
