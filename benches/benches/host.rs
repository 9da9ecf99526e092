//! What the library's own work costs in an ordinary process: patching, probing, the paravirtual clock, a ring
//! that is shared with Xen's console, and looking for events of Xen's.
//!
//! Figures are of this machine. What work costs a kernel on its host is for `cargo xtask bench`.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use criterion::{BatchSize, Criterion, Throughput};
use pvops_backend_native as native;
use pvops_backend_xen::console_ring::Console;
use pvops_backend_xen::event_channel::Port;
use pvops_backend_xen::event_channel::scan::{Fifo, TwoLevel};
use pvops_core::op::irq::enable;
use pvops_core::probe::{CpuIdResult, Interfaces};
use pvops_core::pvclock::{MonotonicClock, TimeInfo, TimeInfoPointer};
use pvops_core::site::SiteRecord;
use pvops_core::tsc_scale::TscScale;
use pvops_core::{Op, OpTable, patch};
use pvops_tests::process::Process;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for bench in [patching, probing, clock, ring, events] {
        bench(&mut criterion);
    }
    criterion.final_summary();
}

const SITES: usize = 1_000;
const LENGTH: usize = <enable as Op>::SITE_LENGTH as usize;

/// Sites that nobody runs, and their records, as near to the op table as code is.
struct Sites {
    records: UnsafeCell<[SiteRecord; SITES]>,
    text: UnsafeCell<[[u8; LENGTH]; SITES]>,
}

// SAFETY: one thread uses them.
unsafe impl Sync for Sites {}

static MEMORY: Sites = Sites {
    records: UnsafeCell::new([const { SiteRecord::new(0, <enable as Op>::NUMBER, 0) }; SITES]),
    text: UnsafeCell::new([[0; LENGTH]; SITES]),
};

/// Makes the sites calls through the table, as they are before patching.
fn unpatched_sites() -> &'static [SiteRecord] {
    let slots = (&raw const *OpTable::get()).cast::<usize>();
    let slot = slots.wrapping_add(usize::from(<enable as Op>::NUMBER.0));
    let (records, text) = (MEMORY.records.get(), MEMORY.text.get());
    for index in 0..SITES {
        // SAFETY: the arrays have so many elements, and nobody has a reference: the slice of the round
        // before is gone.
        unsafe {
            let record = (&raw mut (*records)[index]).cast::<SiteRecord>();
            let site = &raw mut (*text)[index];
            let displacement = slot.addr().wrapping_sub(site.addr() + 6) as i32;
            let [a, b, c, d] = displacement.to_le_bytes();
            let mut bytes = [0x90; LENGTH];
            bytes[..6].copy_from_slice(&[0xff, 0x15, a, b, c, d]);
            site.write(bytes);
            let distance = site.addr().wrapping_sub(record.addr()) as i32;
            record.write(SiteRecord::new(
                distance,
                <enable as Op>::NUMBER,
                LENGTH as u8,
            ));
        }
    }
    // SAFETY: they were just written.
    unsafe { &*records }
}

/// The sites are data, which can be written where they are.
// SAFETY: nobody runs them.
static PROCESS: Process = unsafe { Process::new(|_, write| write(0)) };

fn patching(criterion: &mut Criterion) {
    let bindings = native::typical();
    let mut group = criterion.benchmark_group("patch");
    group.throughput(Throughput::Elements(SITES as u64));
    group.bench_function("1000 sites", |bencher| {
        bencher.iter_batched(
            unpatched_sites,
            |sites| {
                // SAFETY: nobody runs these sites; verifying reads nothing of the table's but its address.
                let counts = unsafe { patch::patch(&PROCESS, sites, &bindings) };
                assert_eq!(counts.expect("sound sites").inline, SITES);
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn probing(criterion: &mut Criterion) {
    /// KVM behind Hyper-V's enlightenments.
    fn cpuid(leaf: u32, _subleaf: u32) -> CpuIdResult {
        let name = |max: u32, name: &[u8; 12]| {
            let word =
                |at| u32::from_le_bytes([name[at], name[at + 1], name[at + 2], name[at + 3]]);
            [max, word(0), word(4), word(8)]
        };
        let [eax, ebx, ecx, edx] = match leaf {
            0 => name(0x16, b"GenuntelineI"),
            1 => [0, 0, 1 << 31, 0],
            0x4000_0000 => name(0x4000_000a, b"Microsoft Hv"),
            0x4000_0100 => name(0x4000_0101, b"KVMKVMKVM\0\0\0"),
            _ => [0; 4],
        };
        CpuIdResult { eax, ebx, ecx, edx }
    }
    assert_eq!(Interfaces::scan(&cpuid).iter().count(), 2);
    criterion.bench_function("probe", |bencher| {
        bencher.iter(|| Interfaces::scan(black_box(&cpuid)));
    });
}

fn clock(criterion: &mut Criterion) {
    const MULTIPLIER: u32 = 0xaaaa_aaab;
    let record: &'static TimeInfo = Box::leak(Box::new(TimeInfo::zeroed()));
    record.version.store(2, Ordering::Relaxed);
    record
        .tsc_to_system_multiplier
        .store(MULTIPLIER, Ordering::Relaxed);
    // SAFETY: it is never freed, and made of atomics.
    let pointer =
        unsafe { TimeInfoPointer::new(NonNull::from(record)) }.expect("32 bytes of a page");
    let scale = TscScale::new(MULTIPLIER, 0).expect("a sound scale");
    let monotonic = MonotonicClock::new();
    let tsc = || black_box(3_000_000_000_000);
    assert!(pointer.read(tsc).is_ok());
    criterion.bench_function("pvclock/scale", |bencher| {
        bencher.iter(|| scale.ticks_to_ns(tsc()));
    });
    criterion.bench_function("pvclock/read", |bencher| {
        bencher.iter(|| pointer.read(tsc));
    });
    criterion.bench_function("pvclock/monotonic", |bencher| {
        bencher.iter(|| monotonic.now_ns(pointer, tsc));
    });
}

fn ring(criterion: &mut Criterion) {
    /// Where Xen says in the page how far it has read, and where the kernel how far it has written.
    const CONSUMED: usize = 3080 / 4;
    const PRODUCED: usize = 3084 / 4;
    #[repr(C, align(4096))]
    struct Page([AtomicU32; 1024]);
    let page: &'static Page = Box::leak(Box::new(Page([const { AtomicU32::new(0) }; 1024])));
    // SAFETY: the page is never freed, aligned, accessed by atomics only, and this is its one console.
    let mut console = unsafe { Console::new(NonNull::from(page).cast()) };
    let line = [b'-'; 64];
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("64 bytes", |bencher| {
        bencher.iter(|| {
            let written = console.write(black_box(&line));
            // What the host does, as if it printed at once.
            let produced = page.0[PRODUCED].load(Ordering::Acquire);
            page.0[CONSUMED].store(produced, Ordering::Release);
            assert_eq!(written.ok(), Some(line.len()));
        });
    });
    group.finish();
}

/// Sends events and takes them, some or many.
fn events(criterion: &mut Criterion) {
    let two_level = TwoLevel::new();
    let page = Box::leak(Box::new([const { AtomicU32::new(0) }; 1024]));
    let fifo = Fifo::new(page);
    let mut group = criterion.benchmark_group("events");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("two-level/{count} of 4096"), |bencher| {
            bencher.iter(|| {
                // In as many words as there can be.
                (0..count).for_each(|event| two_level.send(Port(1 + event * 63)));
                let mut taken = 0;
                two_level.take(|_| taken += 1);
                assert_eq!(taken, count);
            });
        });
        group.bench_function(format!("fifo/{count}"), |bencher| {
            bencher.iter(|| {
                fifo.send(1, black_box(count));
                let mut taken = 0;
                fifo.take(|_| taken += 1);
                assert_eq!(taken, count);
            });
        });
    }
    group.finish();
}
