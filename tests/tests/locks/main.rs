//! The lock in a Linux process: threads as CPUs, which sleep in the kernel and are woken by it.
//!
//! `cargo test --release -p pvops-tests --test locks -- --nocapture` prints the figures. A
//! debug build makes a tenth of the handovers; `PVOPS_LOCK_HANDOVERS=10000000` asks for another
//! number.

mod host;

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use host::{CPUS, ThisThread};
use pvops_core::lock::Mutex;

/// How often the lock is to go from one thread to another.
fn handovers() -> u64 {
    match std::env::var("PVOPS_LOCK_HANDOVERS") {
        Ok(number) => number.parse().unwrap(),
        Err(_) if cfg!(debug_assertions) => 100_000,
        Err(_) => 1_000_000,
    }
}

/// Longer than any thread waits on a machine that is merely busy.
const HANG: Duration = Duration::from_secs(60);

/// Threads of different tests would be the same CPUs, so only one test may run at a time.
static MACHINE: StdMutex<()> = StdMutex::new(());

#[derive(Default)]
struct Shared {
    /// Not atomic: two owners at once would lose counts.
    handovers: u64,
    last: usize,
    taken: u64,
}

#[test]
fn no_wake_up_is_lost_in_millions_of_handovers() {
    let _alone = MACHINE.lock().unwrap();
    host::install();
    static LOCK: Mutex<ThisThread, Shared> = Mutex::new(Shared {
        handovers: 0,
        last: 0,
        taken: 0,
    });
    static PROGRESS: AtomicU64 = AtomicU64::new(0);
    let wanted = handovers();
    let sleeps = host::SLEEPS.load(Relaxed);
    let start = Instant::now();
    let threads: Vec<_> = (0..CPUS)
        .map(|cpu| {
            thread::spawn(move || {
                ThisThread::is(cpu);
                let (mut taken, mut longest) = (0_u64, Duration::ZERO);
                loop {
                    let before = Instant::now();
                    let mut shared = LOCK.lock();
                    longest = longest.max(before.elapsed());
                    if shared.handovers >= wanted {
                        return (taken, longest);
                    }
                    taken += 1;
                    shared.taken += 1;
                    shared.handovers += u64::from(shared.last != cpu);
                    shared.last = cpu;
                    PROGRESS.store(shared.taken, Relaxed);
                }
            })
        })
        .collect();
    let results = host::join(threads, &PROGRESS, HANG);
    let seconds = start.elapsed().as_secs_f64();
    let shared = LOCK.lock();
    let taken: u64 = results.iter().map(|&(taken, _)| taken).sum();
    let longest = results.iter().map(|&(_, longest)| longest).max();
    println!(
        "{} handovers, taken {taken} times by {CPUS} threads in {seconds:.1} s; {} sleeps; \
         longest wait {longest:?}",
        shared.handovers,
        host::SLEEPS.load(Relaxed) - sleeps,
    );
    assert_eq!(shared.taken, taken);
    assert!(host::SLEEPS.load(Relaxed) > sleeps, "nobody ever slept");
    assert!(results.iter().all(|&(taken, _)| taken > 0), "{results:?}");
}

#[test]
fn who_comes_first_is_served_first() {
    let _alone = MACHINE.lock().unwrap();
    host::install();
    static LOCK: Mutex<ThisThread, Vec<usize>> = Mutex::new(Vec::new());
    static PROGRESS: AtomicU64 = AtomicU64::new(0);
    for round in 0..100 {
        ThisThread::is(0);
        let mut first = LOCK.lock();
        first.clear();
        let threads: Vec<_> = (1..CPUS)
            .map(|cpu| {
                let sleeping = host::SLEEPS.load(Relaxed);
                let thread = thread::spawn(move || {
                    ThisThread::is(cpu);
                    LOCK.lock().push(cpu);
                    PROGRESS.fetch_add(1, Relaxed);
                });
                // It sleeps, so it has its place in the queue.
                let begin = Instant::now();
                while host::SLEEPS.load(Relaxed) == sleeping {
                    assert!(begin.elapsed() < HANG, "thread {cpu} does not wait");
                    thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(LOCK.try_lock().is_none());
        drop(first);
        host::join(threads, &PROGRESS, HANG);
        let wanted: Vec<usize> = (1..CPUS).collect();
        assert_eq!(*LOCK.lock(), wanted, "round {round}");
    }
}

#[test]
fn try_lock_takes_a_free_lock_only() {
    let _alone = MACHINE.lock().unwrap();
    host::install();
    let lock: Mutex<ThisThread, u32> = Mutex::new(1);
    assert!(!lock.is_locked());
    let mut guard = lock.try_lock().unwrap();
    *guard = 2;
    assert!(lock.is_locked());
    assert!(lock.try_lock().is_none());
    drop(guard);
    assert!(!lock.is_locked());
    assert_eq!(*lock.try_lock().unwrap(), 2);
    assert_eq!(*lock.lock(), 2);
}
