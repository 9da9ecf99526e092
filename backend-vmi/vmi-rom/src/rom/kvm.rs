//! KVM beneath the ROM (Linux, Documentation/virt/kvm/x86: cpuid.rst, msr.rst, hypercalls.rst).

use core::arch::asm;
use core::arch::global_asm;
use core::arch::x86::{__cpuid, _rdtsc};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use super::cpu::Cpu;
use super::state::State;

const HYPERVISOR_PRESENT: u32 = 1 << 31;
const FIRST_LEAF: u32 = 0x4000_0000;
const LAST_LEAF: u32 = 0x4000_FF00;
const LEAF_STEP: usize = 0x100;
const SIGNATURE: [u8; 12] = *b"KVMKVMKVM\0\0\0";

const FEATURE_CLOCK: u32 = 1 << 3;
const FEATURE_STEAL_TIME: u32 = 1 << 5;
const FEATURE_END_OF_INTERRUPT: u32 = 1 << 6;
const FEATURE_SEND_IPI: u32 = 1 << 11;

const MSR_WALL_CLOCK: u32 = 0x4B56_4D00;
const MSR_SYSTEM_TIME: u32 = 0x4B56_4D01;
const MSR_STEAL_TIME: u32 = 0x4B56_4D03;
const MSR_END_OF_INTERRUPT: u32 = 0x4B56_4D04;
const ENABLED: u32 = 1;

/// Tries to read a record that the host does not write all the time.
const MAX_READINGS: u32 = 1_000_000;

/// KVM, as found.
#[derive(Clone, Copy)]
pub(super) struct Kvm {
    features: u32,
    hypercall_is_vmmcall: bool,
}

/// What KVM writes for one CPU.
#[repr(C, align(64))]
pub(super) struct Records {
    steal_time: UnsafeCell<StealTime>,
    clock: UnsafeCell<ClockRecord>,
    /// Bit 0: the interrupt that is handled needs no end.
    end: AtomicU32,
    wall_clock: UnsafeCell<WallClock>,
}

/// `struct kvm_steal_time`.
#[repr(C)]
#[derive(Clone, Copy)]
struct StealTime {
    nanoseconds: u64,
    version: u32,
    rest: [u32; 13],
}

/// `struct pvclock_vcpu_time_info`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ClockRecord {
    version: u32,
    pad: u32,
    tsc: u64,
    nanoseconds: u64,
    multiplier: u32,
    shift: i8,
    flags: u8,
    pad2: [u8; 2],
}

/// `struct pvclock_wall_clock`.
#[repr(C)]
#[derive(Clone, Copy)]
struct WallClock {
    version: u32,
    seconds: u32,
    nanoseconds: u32,
}

const _: () = {
    assert!(size_of::<StealTime>() == 64);
    assert!(size_of::<ClockRecord>() == 32);
};

impl Kvm {
    pub(super) fn find() -> Option<Self> {
        if __cpuid(1).ecx & HYPERVISOR_PRESENT == 0 {
            return None;
        }
        let mut leaves = (FIRST_LEAF..=LAST_LEAF).step_by(LEAF_STEP);
        let leaf = leaves.find(|&leaf| {
            let found = __cpuid(leaf);
            name([found.ebx, found.ecx, found.edx]) == SIGNATURE
        })?;
        let vendor = __cpuid(0);
        let vendor = name([vendor.ebx, vendor.edx, vendor.ecx]);
        Some(Self {
            features: __cpuid(leaf + 1).eax,
            hypercall_is_vmmcall: vendor == *b"AuthenticAMD" || vendor == *b"HygonGenuine",
        })
    }

    fn has(self, feature: u32) -> bool {
        self.features & feature != 0
    }

    /// Whether cycles are KVM's clock's.
    pub(super) fn has_clock(self) -> bool {
        self.has(FEATURE_CLOCK)
    }

    /// Tells KVM where this CPU's records are, once. KVM forgets them all when the CPU is sent INIT
    /// (Linux, arch/x86/kvm: `kvm_vcpu_reset`, `kvm_lapic_reset`).
    pub(super) fn introduce(self, state: &State, cpu: &Cpu) {
        if cpu.is_known_to_kvm.load(Ordering::Acquire) {
            return;
        }
        cpu.is_known_to_kvm.store(true, Ordering::Relaxed);
        let records = &cpu.records;
        let registers = [
            (
                FEATURE_CLOCK,
                MSR_SYSTEM_TIME,
                records.clock.get() as *const u8,
            ),
            (
                FEATURE_STEAL_TIME,
                MSR_STEAL_TIME,
                records.steal_time.get() as *const u8,
            ),
            (
                FEATURE_END_OF_INTERRUPT,
                MSR_END_OF_INTERRUPT,
                (&raw const records.end).cast(),
            ),
        ];
        for (feature, register, record) in registers {
            if self.has(feature) {
                // SAFETY: KVM has the register, and writes into the ROM's memory only.
                unsafe { write_msr(register, state.physical_address(record) | ENABLED) };
            }
        }
    }

    /// Nanoseconds from 1970 to when KVM's clock was 0.
    pub(super) fn boot_time(self, state: &State) -> u64 {
        let Some(cpu) = state.cpus.first() else {
            return 0;
        };
        let record = cpu.records.wall_clock.get();
        // SAFETY: as above; the host has written it when WRMSR is over.
        let time = unsafe {
            write_msr(MSR_WALL_CLOCK, state.physical_address(record));
            record.read_volatile()
        };
        u64::from(time.seconds) * 1_000_000_000 + u64::from(time.nanoseconds)
    }

    /// Sends a plain interrupt to one CPU by a hypercall. Gives false where that can't be done.
    pub(super) fn send(self, command: u32, destination: impl Fn() -> u32) -> bool {
        const VECTOR: u32 = 0xFF;
        const LEVEL_ASSERT: u32 = 1 << 14;
        const BROADCAST: u32 = 0xFF;
        if !self.has(FEATURE_SEND_IPI) || command & !(VECTOR | LEVEL_ASSERT) != 0 {
            return false;
        }
        let destination = destination();
        // SAFETY: KVM has this hypercall; it sends an interrupt that the guest asks for.
        destination != BROADCAST
            && unsafe { hypercall_send_ipi(destination, command, self.hypercall_is_vmmcall.into()) }
                >= 0
    }
}

impl Records {
    /// KVM's clock, in nanoseconds. 0 if the host never stops writing.
    pub(super) fn nanoseconds(&self) -> u64 {
        let read = |record: &ClockRecord| {
            // SAFETY: it only tells.
            let cycles = unsafe { _rdtsc() }.wrapping_sub(record.tsc);
            // Of a record from before the counter was 0 the counter is negative, and what is behind it is 0.
            let cycles = if cycles >> 63 == 0 { cycles } else { 0 };
            let shift = record.shift.clamp(-63, 63);
            let shifted = match shift {
                0.. => cycles << shift,
                _ => cycles >> -shift,
            };
            let multiplier = u64::from(record.multiplier);
            let high = (shifted >> 32).wrapping_mul(multiplier);
            let low = ((shifted & u64::from(u32::MAX)) * multiplier) >> 32;
            record.nanoseconds.wrapping_add(high).wrapping_add(low)
        };
        stable(&self.clock, |record| record.version, read).unwrap_or(0)
    }

    /// The time-stamp counter's rate by KVM's clock, in Hz. `None` if KVM has not told it.
    pub(super) fn tsc_rate(&self) -> Option<u64> {
        let record = stable(&self.clock, |record| record.version, |record| *record)?;
        let shifted = (1_000_000_000_u64 << 32).checked_div(u64::from(record.multiplier))?;
        Some(match record.shift.clamp(-31, 31) {
            shift @ 0.. => shifted >> shift,
            shift => shifted << -shift,
        })
    }

    /// What KVM has run instead of this CPU, in nanoseconds.
    pub(super) fn stolen_nanoseconds(&self) -> u64 {
        let nanoseconds = |record: &StealTime| record.nanoseconds;
        stable(&self.steal_time, |record| record.version, nanoseconds).unwrap_or(0)
    }

    /// Whether this end of an interrupt is one that KVM needs not hear of.
    pub(super) fn take_end(&self) -> bool {
        self.end.fetch_and(!1, Ordering::SeqCst) & 1 != 0
    }
}

/// What is read of a record whose version is even, and the same afterwards. The time-stamp counter belongs
/// to the record that the host has written last, so it is read in between, too.
fn stable<T: Copy, R>(
    record: &UnsafeCell<T>,
    version: impl Fn(&T) -> u32,
    read: impl Fn(&T) -> R,
) -> Option<R> {
    (0..MAX_READINGS).find_map(|_| {
        // SAFETY: the host writes any time; a copy that it has changed meanwhile is thrown away.
        let first = unsafe { record.get().read_volatile() };
        fence(Ordering::SeqCst);
        let result = read(&first);
        fence(Ordering::SeqCst);
        // SAFETY: as above.
        let second = unsafe { record.get().read_volatile() };
        let before = version(&first);
        (before & 1 == 0 && before == version(&second)).then_some(result)
    })
}

fn name(words: [u32; 3]) -> [u8; 12] {
    let mut name = [0; 12];
    for (bytes, word) in name.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    name
}

/// Reads a model-specific register.
///
/// # Safety
/// The CPU has it.
pub(super) unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller knows that it is there.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register whose high half is 0.
///
/// # Safety
/// The CPU has it and takes the value.
unsafe fn write_msr(register: u32, value: u32) {
    // SAFETY: the caller knows.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value, in("edx") 0,
             options(nostack, preserves_flags));
    }
}

// KVM_HC_SEND_IPI: a set of one CPU, from the given local APIC identifier on. The compiler keeps EBX and
// ESI for itself.
global_asm!(
    ".pushsection .text.hypercall, \"ax\", @progbits",
    "hypercall_send_ipi:",
    "pushl %ebx",
    "pushl %esi",
    "movl $10, %eax",
    "movl $1, %ebx",
    "xorl %ecx, %ecx",
    "movl 12(%esp), %edx",
    "movl 16(%esp), %esi",
    "cmpl $0, 20(%esp)",
    "jne 1f",
    "vmcall",
    "jmp 2f",
    "1: vmmcall",
    "2: popl %esi",
    "popl %ebx",
    "ret",
    ".popsection",
    options(att_syntax)
);

unsafe extern "C" {
    fn hypercall_send_ipi(first: u32, command: u32, is_vmmcall: u32) -> i32;
}
