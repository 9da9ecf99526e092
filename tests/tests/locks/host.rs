//! A process as the host: a CPU is a thread, which sleeps on a futex of its own.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pvops_backend_native as native;
use pvops_core::backend::Backend;
use pvops_core::lock::CpuIndex;
use pvops_core::probe::Interfaces;
use pvops_core::{Bindings, bindings, install as install_backend, preserve};
use pvops_tests::process::PROCESS;

/// How many threads take a lock.
pub(crate) const CPUS: usize = 4;

/// How often a thread went to sleep.
pub(crate) static SLEEPS: AtomicU64 = AtomicU64::new(0);

/// Patches this process, once.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: no other thread uses an op before this is done.
        let counts = unsafe { install_backend(&BACKEND, &PROCESS, &Interfaces::default()) };
        counts.unwrap();
    });
}

/// Waits for the threads; if their progress stops for as long as `hang`, the process ends.
pub(crate) fn join<T>(threads: Vec<JoinHandle<T>>, progress: &AtomicU64, hang: Duration) -> Vec<T> {
    let (mut last, mut since) = (0, Instant::now());
    while !threads.iter().all(JoinHandle::is_finished) {
        let now = progress.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > hang {
            eprintln!("no progress after {now}: a wake-up was lost");
            std::process::abort();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// The CPU that a thread is.
pub(crate) struct ThisThread;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
}

impl ThisThread {
    pub(crate) fn is(cpu: usize) {
        CPU.set(cpu);
    }
}

impl CpuIndex for ThisThread {
    fn cpu_index() -> usize {
        CPU.get()
    }
}

static BACKEND: Backend = Backend {
    name: "host",
    signature: None,
    bind: |_| {
        Ok(Bindings {
            lock: bindings::lock::AWAKE
                .with_preemption(preserve!(lock::vcpu_is_preempted, is_preempted))
                .with_sleep(preserve!(lock::wait, wait), preserve!(lock::kick, kick)),
            ..native::typical()
        })
    },
    bring_up_cpu: |_| Ok(()),
    take_down_cpu: |_| {},
};

/// How often each CPU was kicked.
static KICKS: [AtomicU32; CPUS] = [const { AtomicU32::new(0) }; CPUS];

unsafe extern "C" fn wait(word: *const u32, value: u32) {
    let kicks = &KICKS[CPU.get()];
    // From here on a kick changes the number, and so keeps the sleep from beginning.
    let seen = kicks.load(Ordering::SeqCst);
    // SAFETY: the op's caller vouches for the word.
    if unsafe { AtomicU32::from_ptr(word.cast_mut()) }.load(Ordering::SeqCst) != value {
        return;
    }
    SLEEPS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: a word of ours, and no timeout.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            kicks.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            seen,
            std::ptr::null::<libc::timespec>(),
        );
    }
}

unsafe extern "C" fn kick(cpu: usize) {
    let Some(kicks) = KICKS.get(cpu) else {
        return;
    };
    kicks.fetch_add(1, Ordering::SeqCst);
    // SAFETY: a word of ours.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            kicks.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}

/// Half of them, so that some waiters sleep at once and some after looking for long.
unsafe extern "C" fn is_preempted(cpu: usize) -> bool {
    cpu % 2 == 1
}
