//! Instruction counts, for hosts whose time-stamp counter counts instructions: QEMU's
//! `-icount shift=0`. Elsewhere the numbers are ticks, and mean less.
//!
//! Each op runs in a loop three times: before its site is patched, after, and as the instructions
//! that a kernel without pvops would have there. Those are the only privileged instructions of this
//! kernel outside the backends, besides its entry and its return from traps. So that it can be seen
//! in the ELF, what holds them is never inlined into a function of another module.

pub(crate) mod xen;

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pvops_core::lock::Mutex;
use pvops_core::op::irq::enable;
use pvops_core::site::SiteRecord;
use pvops_core::{Op, OpTable, cpu, installed, irq, mmu, patch};

use crate::console::report;
use crate::layout::PAGE;
use crate::platform::Platform;
use crate::{arch, demand};

/// Measures the ops while their sites are calls through the table.
pub(crate) fn before_patching() {
    aside(|| {
        for (case, cost) in CASES.iter().zip(&UNPATCHED) {
            cost.store((case.op)(), Ordering::Relaxed);
        }
    });
}

/// Measures the ops again, and patching itself, and reports.
pub(crate) fn after_patching() {
    aside(|| {
        for (case, unpatched) in CASES.iter().zip(&UNPATCHED) {
            let (patched, raw) = ((case.op)(), (case.raw)());
            let unpatched = unpatched.load(Ordering::Relaxed);
            let difference = patched as i64 - raw as i64;
            report!(
                "\"event\":\"measure\",\"name\":\"{}\",\"rounds\":{ROUNDS},\"raw\":{raw},\
                 \"patched\":{patched},\"unpatched\":{unpatched},\"difference\":{difference}",
                case.name,
            );
        }
        for sites in [100, 1_000, 10_000] {
            let cost = patching(sites);
            report!("\"event\":\"measure\",\"name\":\"patch\",\"sites\":{sites},\"cost\":{cost}");
        }
    });
}

/// Reports what has passed since the entry, but for the measuring.
#[inline(never)]
pub(crate) fn boot() {
    let cost = tsc().wrapping_sub(arch::start_tsc()) - ASIDE.load(Ordering::Relaxed);
    report!("\"event\":\"measure\",\"name\":\"entry_to_first_check\",\"cost\":{cost}");
}

const ROUNDS: u64 = 1000;

struct Case {
    name: &'static str,
    op: fn() -> u64,
    raw: fn() -> u64,
}

/// Runs the two bodies in the same loop, with `$value` as what they work on.
macro_rules! case {
    ($name:literal, $value:expr, $op:expr, $raw:expr) => {
        Case {
            name: $name,
            op: || {
                let value = $value;
                rounds(|| {
                    // SAFETY: the cases write what they have read, and end with interrupts off.
                    #[allow(unused_unsafe)]
                    unsafe {
                        $op(value)
                    };
                })
            },
            raw: || {
                let value = $value;
                rounds(|| {
                    // SAFETY: as above.
                    unsafe { $raw(value) };
                })
            },
        }
    };
}

/// Where SWAPGS gets the base of GS from; nobody uses that here.
const KERNEL_GS_BASE: u32 = 0xc000_0102;

static CASES: [Case; 12] = [
    case!("irq.save_flags", (), |()| irq::save_flags(), |()| asm!(
        "pushfq", "pop rax", out("rax") _, options(nostack)
    )),
    case!(
        "irq.restore_flags",
        irq::save_flags(),
        |flags| irq::restore_flags(flags),
        |flags: usize| asm!(
            "push rdi", "popfq", in("rdi") flags, out("rax") _, options(nostack)
        )
    ),
    case!(
        "irq.enable",
        (),
        |()| irq::enable(),
        |()| asm!("sti", out("rax") _, options(nostack))
    ),
    case!(
        "irq.disable",
        (),
        |()| irq::disable(),
        |()| asm!("cli", out("rax") _, options(nostack))
    ),
    case!("mmu.read_cr2", (), |()| mmu::read_cr2(), |()| asm!(
        "mov rax, cr2", out("rax") _, options(nostack)
    )),
    case!("mmu.read_cr3", (), |()| mmu::read_cr3(), |()| asm!(
        "mov rax, cr3", out("rax") _, options(nostack)
    )),
    case!(
        "mmu.write_cr3",
        mmu::read_cr3(),
        |cr3| mmu::write_cr3(cr3),
        |cr3: usize| asm!(
            "mov cr3, rdi", in("rdi") cr3, out("rax") _, options(nostack)
        )
    ),
    case!(
        "cpu.read_msr",
        KERNEL_GS_BASE,
        |index| cpu::read_msr(index),
        |index: u32| {
            let (low, high): (u32, u32);
            asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nostack));
            u64::from(high) << 32 | u64::from(low)
        }
    ),
    case!(
        "cpu.write_msr",
        black_box(0),
        |value| cpu::write_msr(KERNEL_GS_BASE, value),
        |value: u64| asm!(
            "wrmsr", in("ecx") KERNEL_GS_BASE, inout("eax") value as u32 => _,
            in("edx") (value >> 32) as u32, options(nostack)
        )
    ),
    case!("cpu.read_tsc", (), |()| cpu::read_tsc(), |()| {
        let (low, high): (u32, u32);
        asm!("rdtsc", out("eax") low, out("edx") high, options(nostack));
        u64::from(high) << 32 | u64::from(low)
    }),
    case!(
        "cpu.read_tsc_ordered",
        (),
        |()| cpu::read_tsc_ordered(),
        |()| {
            let (low, high): (u32, u32);
            asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack));
            u64::from(high) << 32 | u64::from(low)
        }
    ),
    // A ticket lock, as short as it can be: the next ticket, and the one that is served.
    case!("lock", (), |()| drop(MUTEX.lock()), |()| asm!(
        "mov eax, ecx",
        "lock xadd [rdi], eax",
        "2: cmp [rdi + 4], eax",
        "jne 3f",
        "inc dword ptr [rdi + 4]",
        ".subsection 1",
        "3: pause",
        "jmp 2b",
        ".previous",
        in("rdi") &TICKETS, in("ecx") 1, out("rax") _, options(nostack)
    )),
];

static MUTEX: Mutex<Platform, ()> = Mutex::new(());
static TICKETS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

static UNPATCHED: [AtomicU64; CASES.len()] = [const { AtomicU64::new(0) }; CASES.len()];
/// What measuring has cost so far.
static ASIDE: AtomicU64 = AtomicU64::new(0);

#[inline(never)]
fn rounds<R>(mut body: impl FnMut() -> R) -> u64 {
    let start = tsc();
    for _ in 0..ROUNDS {
        black_box(body());
    }
    let cost = tsc() - start;
    irq::disable();
    cost
}

/// Keeps what `body` costs out of [`boot`]'s number.
#[inline(never)]
fn aside(body: impl FnOnce()) {
    let start = tsc();
    let flags = irq::save_flags();
    body();
    // SAFETY: the flags are those of before.
    unsafe { irq::restore_flags(flags) };
    ASIDE.fetch_add(tsc() - start, Ordering::Relaxed);
}

/// The counter itself, not the op: an op that is being patched is no ruler.
fn tsc() -> u64 {
    // SAFETY: reading the time-stamp counter has no effect.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Makes `count` call sites in fresh memory and patches them.
#[inline(never)]
pub(crate) fn patching(count: usize) -> u64 {
    const LENGTH: usize = <enable as Op>::SITE_LENGTH as usize;
    const RECORDS: usize = demand::REGION.start + (512 << 10);
    let sites = demand::REGION.start;
    let slot = (&raw const *OpTable::get()).addr()
        + usize::from(<enable as Op>::NUMBER.0) * size_of::<usize>();
    for index in 0..count {
        let site = sites + index * LENGTH;
        let record = RECORDS + index * size_of::<SiteRecord>();
        let displacement = slot.wrapping_sub(site + LENGTH) as i32;
        let [a, b, c, d] = displacement.to_le_bytes();
        // SAFETY: the region gives memory to whoever touches it, and nobody else does.
        unsafe {
            (site as *mut [u8; LENGTH]).write([0xff, 0x15, a, b, c, d]);
            (record as *mut SiteRecord).write(SiteRecord::new(
                site.wrapping_sub(record) as i32,
                <enable as Op>::NUMBER,
                LENGTH as u8,
            ));
        }
    }
    // SAFETY: the records were just written.
    let records = unsafe { core::slice::from_raw_parts(RECORDS as *const SiteRecord, count) };
    let Some(bindings) = installed() else {
        panic!("no backend is installed")
    };
    let start = tsc();
    // SAFETY: nobody runs these sites.
    let result = unsafe { patch::patch(&Platform, records, &bindings) };
    let cost = tsc() - start;
    assert!(
        result.is_ok_and(|counts| counts.inline == count),
        "patching gave {result:?}"
    );
    for page in (sites..demand::REGION.end).step_by(PAGE) {
        crate::paging::unmap(page);
    }
    cost
}
