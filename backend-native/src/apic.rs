//! The local APIC, in x2APIC mode where the CPU has it, else by its page of registers.
//!
//! Intel SDM volume 3, chapter 12.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::smp;
use pvops_core::backend::Host;
use pvops_core::binding::Binding;
use pvops_core::{bindings, call, cpu, inline, irq, preserve};
use x86::msr::{IA32_APIC_BASE, IA32_X2APIC_APICID, IA32_X2APIC_EOI, IA32_X2APIC_ICR};

/// How this machine's local APIC is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Apic {
    /// It has none, or the kernel can't map it.
    Absent,
    /// By model-specific registers.
    Msr,
    /// By memory, at [`REGISTERS`].
    Memory,
}

/// Turns the local APIC on, in the best mode that it has, and finds its registers. It delivers
/// nothing until the kernel sets the spurious-interrupt register.
pub(crate) fn start(host: &Host<'_>) -> Apic {
    const BASE_ADDRESS: u64 = 0xf_ffff_ffff_f000;
    let apic = Apic::detect();
    let base = apic.turn_on();
    if apic == Apic::Memory {
        match host.kernel.map_device(base & BASE_ADDRESS, 4096) {
            Some(registers) => REGISTERS.store(registers.as_ptr(), Ordering::Relaxed),
            None => return Apic::Absent,
        }
    }
    apic
}

/// Has all CPUs keep to their page of registers: for a backend whose host serves that page, and knows nothing
/// of x2APIC mode. On the boot CPU, before [`bind`](crate::bind), while no CPU is in that mode.
pub fn stay_out_of_x2apic() {
    IS_X2APIC_WANTED.store(false, Ordering::Relaxed);
}

static IS_X2APIC_WANTED: AtomicBool = AtomicBool::new(true);

impl Apic {
    /// What this CPU has, and is to be used.
    pub(crate) fn detect() -> Self {
        const FEATURES: u32 = 1;
        const EDX_APIC: u32 = 1 << 9;
        const ECX_X2APIC: u32 = 1 << 21;
        let features = cpu::cpuid(FEATURES, 0);
        if features.edx & EDX_APIC == 0 {
            Apic::Absent
        } else if features.ecx & ECX_X2APIC != 0 && IS_X2APIC_WANTED.load(Ordering::Relaxed) {
            Apic::Msr
        } else {
            Apic::Memory
        }
    }

    /// What of that [`start`] could find.
    pub(crate) fn in_use() -> Self {
        match Apic::detect() {
            Apic::Memory if REGISTERS.load(Ordering::Relaxed).is_null() => Apic::Absent,
            apic => apic,
        }
    }

    /// Turns this CPU's on, and returns its base register.
    pub(crate) fn turn_on(self) -> u64 {
        const BASE_X2APIC: u64 = 1 << 10;
        const BASE_ENABLE: u64 = 1 << 11;
        if self == Apic::Absent {
            return 0;
        }
        // SAFETY: a CPU with a local APIC has the register; the bits that change turn the APIC on,
        // and x2APIC mode is entered from xAPIC mode as section 12.12.5 wants.
        unsafe {
            let base = cpu::read_msr(IA32_APIC_BASE) | BASE_ENABLE;
            cpu::write_msr(IA32_APIC_BASE, base);
            if self == Apic::Msr {
                cpu::write_msr(IA32_APIC_BASE, base | BASE_X2APIC);
            }
            base
        }
    }

    /// This CPU's id.
    pub(crate) fn id(self) -> Option<u32> {
        match self {
            Apic::Absent => None,
            Apic::Msr => Some(self.read(REGISTER_ID)),
            Apic::Memory => Some(self.read(REGISTER_ID) >> 24),
        }
    }

    pub(crate) fn bindings(self) -> bindings::apic {
        match self {
            Apic::Absent => NONE,
            Apic::Msr => X2APIC,
            Apic::Memory => {
                let eoi = register(REGISTER_EOI).addr();
                let mut bindings = XAPIC;
                // An absolute address at the site is 32 bits, sign-extended.
                if let Ok(address) = i32::try_from(eoi as isize) {
                    bindings.eoi = bindings.eoi.with_operand(address as u32);
                }
                bindings
            }
        }
    }

    pub(crate) fn smp(self) -> bindings::smp {
        if self == Apic::Absent {
            smp::NONE
        } else {
            smp::APIC
        }
    }

    pub(crate) fn read(self, register: u32) -> u32 {
        // SAFETY: the callers are in this crate and name registers that exist.
        unsafe {
            match self {
                Apic::Absent => 0,
                Apic::Msr => x2apic_read(register),
                Apic::Memory => xapic_read(register),
            }
        }
    }

    pub(crate) fn write(self, register: u32, value: u32) {
        // SAFETY: the callers are in this crate and name registers that exist.
        unsafe {
            match self {
                Apic::Absent => {}
                Apic::Msr => x2apic_write(register, value),
                Apic::Memory => xapic_write(register, value),
            }
        }
    }
}

pub(crate) const NONE: bindings::apic = bindings::apic {
    read: Binding::unavailable(),
    write: Binding::unavailable(),
    eoi: Binding::unavailable(),
    write_icr: Binding::unavailable(),
};

pub(crate) const X2APIC: bindings::apic = bindings::apic {
    read: call!(apic::read, x2apic_read),
    write: call!(apic::write, x2apic_write),
    // 0x80b is IA32_X2APIC_EOI.
    eoi: inline!(
        apic::eoi,
        "mov ecx, 0x80b",
        "xor eax, eax",
        "xor edx, edx",
        "wrmsr"
    ),
    write_icr: call!(apic::write_icr, x2apic_write_icr),
};

const _: () = assert!(IA32_X2APIC_EOI == 0x80b);

const XAPIC: bindings::apic = bindings::apic {
    read: call!(apic::read, xapic_read),
    write: call!(apic::write, xapic_write),
    eoi: inline!(
        apic::eoi, operand 4 bytes before the end, else preserve!(apic::eoi, xapic_eoi),
        "mov dword ptr [{operand}], 0"
    ),
    write_icr: call!(apic::write_icr, xapic_write_icr),
};

/// Numbers of registers: their distance from the first x2APIC register.
const FIRST: u32 = IA32_X2APIC_APICID - 2;
const REGISTER_ID: u32 = IA32_X2APIC_APICID - FIRST;
const REGISTER_EOI: u32 = IA32_X2APIC_EOI - FIRST;
const REGISTER_ICR: u32 = IA32_X2APIC_ICR - FIRST;

unsafe extern "C" fn x2apic_read(register: u32) -> u32 {
    // SAFETY: the op's caller says that the register exists.
    unsafe { cpu::read_msr(FIRST + register) as u32 }
}

unsafe extern "C" fn x2apic_write(register: u32, value: u32) {
    // SAFETY: the op's caller says that the register exists and takes the value.
    unsafe { cpu::write_msr(FIRST + register, u64::from(value)) };
}

/// Unlike a store to an xAPIC register, the WRMSR may overtake earlier stores, and so the interrupt
/// what it is to tell of: Intel SDM volume 3, section 12.12.3, has MFENCE and LFENCE in front.
unsafe extern "C" fn x2apic_write_icr(command: u64) {
    // SAFETY: the fences have no other effect; the op's caller says that the destination is ready.
    unsafe {
        asm!("mfence", "lfence", options(nostack, preserves_flags));
        cpu::write_msr(IA32_X2APIC_ICR, command);
    }
}

/// The page of registers, in xAPIC mode.
static REGISTERS: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

fn register(number: u32) -> *mut u32 {
    REGISTERS
        .load(Ordering::Relaxed)
        .wrapping_add(number as usize * 16)
        .cast()
}

unsafe extern "C" fn xapic_read(number: u32) -> u32 {
    // SAFETY: the kernel has mapped the registers, and the op's caller says that this one exists.
    unsafe { register(number).read_volatile() }
}

unsafe extern "C" fn xapic_write(number: u32, value: u32) {
    // SAFETY: as above.
    unsafe { register(number).write_volatile(value) };
}

unsafe extern "C" fn xapic_eoi() {
    // SAFETY: the kernel has mapped the registers, and every local APIC has this one.
    unsafe { register(REGISTER_EOI).write_volatile(0) };
}

unsafe extern "C" fn xapic_write_icr(command: u64) {
    const DELIVERY_PENDING: u32 = 1 << 12;
    const MAX_POLLS: u32 = 1_000_000;
    // No interrupt handler may send another command between the two halves.
    let flags = irq::save_flags();
    irq::disable();
    // SAFETY: the kernel has mapped the registers, and the op's caller says that the destination is
    // ready. The lower half sends, so it is last. The flags are those of before.
    unsafe {
        for _ in 0..MAX_POLLS {
            if register(REGISTER_ICR).read_volatile() & DELIVERY_PENDING == 0 {
                break;
            }
        }
        let destination = ((command >> 32) as u32) << 24;
        register(REGISTER_ICR + 1).write_volatile(destination);
        register(REGISTER_ICR).write_volatile(command as u32);
        irq::restore_flags(flags);
    }
}
