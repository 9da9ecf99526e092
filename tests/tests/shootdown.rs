//! TLB shootdown between two simulated CPUs, in orders of events that are hard to meet by chance.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::{sync::mpsc, thread};

use pvops_backend_native as native;
use pvops_core::cpu_set::CpuSet;
use pvops_core::probe::{CpuIdResult, Interfaces};
use pvops_core::testing::{self, Cpu, Process};
use pvops_core::{Bindings, Kernel, bindings, bring_up_cpu, call, install, interpose, preserve};
use pvops_core::{irq, mmu, smp};

const PAGE: usize = 4096;
/// The CPU that starts later, and then waits to make a request of its own, with interrupts on.
const WAITING: usize = 1;

/// The entries of pages 0 and 1, and what CPU [`WAITING`] has in its TLB.
static ENTRIES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static TRANSLATIONS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Requests that were told by interrupt, which nobody delivers but [`flush_tlb_page`].
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static IS_DONE: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

fn change(bindings: Bindings) -> Bindings {
    let bindings = testing::simulate(bindings);
    Bindings {
        mmu: bindings::mmu {
            flush_tlb_page: preserve!(mmu::flush_tlb_page, flush_tlb_page),
            flush_tlb_all: preserve!(mmu::flush_tlb_all, flush_tlb_all),
            ..bindings.mmu
        },
        smp: bindings::smp {
            send_ipi_set: call!(smp::send_ipi_set, send_ipi_set),
            ..bindings.smp
        },
        ..bindings
    }
}

unsafe extern "C" fn send_ipi_set(_cpus: *const CpuSet, _vector: u8) {
    REQUESTS.fetch_add(1, Ordering::SeqCst);
}

/// Where interrupts are on, that of the first request comes when its page has just been flushed, and the
/// handler stays until there is a second request.
unsafe extern "C" fn flush_tlb_page(address: usize) {
    thread_local!(static HAS_COME: Cell<bool> = const { Cell::new(false) });
    const INTERRUPTS_ON: usize = 1 << 9;
    if Process.cpu_index() != WAITING {
        return;
    }
    translate(address / PAGE);
    if irq::save_flags() & INTERRUPTS_ON != 0 && !HAS_COME.replace(true) {
        irq::without(smp::handle_ipi);
        wait_until(|| REQUESTS.load(Ordering::SeqCst) == 2);
    }
}

unsafe extern "C" fn flush_tlb_all() {
    if Process.cpu_index() == WAITING {
        (0..ENTRIES.len()).for_each(translate);
    }
}

/// Has CPU [`WAITING`] look at the entry of a page.
fn translate(page: usize) {
    TRANSLATIONS[page].store(ENTRIES[page].load(Ordering::SeqCst), Ordering::SeqCst);
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

#[test]
fn no_cpu_keeps_an_old_translation() {
    // SAFETY: nobody else uses ops, and what is simulated works in a process.
    unsafe { interpose(change) };
    native::set_tsc_khz(1_000_000);
    let _this = with_local_apic(0);
    // SAFETY: as above; no interrupt of the vector comes.
    unsafe {
        install(&native::BACKEND, &Process, &Interfaces::default()).unwrap();
        bring_up_cpu().unwrap();
        smp::setup_ipi(0xf0);
    }
    // CPU 1 has started, looked at the entries, and is not up.
    ENTRIES[0].store(1, Ordering::SeqCst);
    flush(&CpuSet::first(2), 0);
    let seen = thread::scope(|scope| {
        let (up, is_up) = mpsc::channel();
        scope.spawn(move || {
            let _this = with_local_apic(WAITING as u32);
            // SAFETY: no interrupt comes but by `flush_tlb_page`.
            unsafe {
                bring_up_cpu().unwrap();
                irq::enable();
            }
            up.send(TRANSLATIONS[0].load(Ordering::SeqCst)).unwrap();
            wait_until(|| REQUESTS.load(Ordering::SeqCst) == 1);
            flush(&CpuSet::first(1), 0);
            serve_until_done(WAITING);
        });
        let first = is_up.recv().unwrap();
        let [second, third] = [0, 1].map(|page| {
            ENTRIES[page].store(2, Ordering::SeqCst);
            flush(&CpuSet::first(2), page);
            TRANSLATIONS[page].load(Ordering::SeqCst)
        });
        serve_until_done(0);
        [first, second, third]
    });
    assert_eq!(seen, [1, 2, 2], "0 is the translation of before");
}

fn with_local_apic(index: u32) -> Cpu {
    let cpu = Cpu::with_index(index as usize);
    let features = CpuIdResult {
        eax: 0,
        ebx: 0,
        // x2APIC, TSC deadline.
        ecx: 1 << 21 | 1 << 24,
        edx: 1 << 9,
    };
    cpu.set_cpuid(1, 0, features);
    cpu.set_msr(0x1b, 0xfee0_0000);
    cpu.set_msr(0x802, index.into());
    cpu
}

fn flush(cpus: &CpuSet, page: usize) {
    // SAFETY: the CPUs of the set are up, and look for requests until all are done.
    unsafe { mmu::flush_tlb_multi(cpus, page * PAGE, (page + 1) * PAGE) };
}

/// Says that this CPU has no more requests, and serves those of the other until it has none.
fn serve_until_done(cpu: usize) {
    IS_DONE[cpu].store(true, Ordering::SeqCst);
    while !IS_DONE[1 - cpu].load(Ordering::SeqCst) {
        smp::handle_ipi();
        thread::yield_now();
    }
}
