//! Threads as CPUs, and what ends the process.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pvops_core::lock::{CpuIndex, Mutex};
use pvops_core::testing::{Cpu, Process};
use pvops_core::{Kernel, cpu, irq};

#[test]
fn each_thread_is_a_cpu_of_its_own() {
    let this = Cpu::new();
    // SAFETY: no interrupt comes.
    unsafe { irq::enable() };
    let other = thread::spawn(|| {
        let other = Cpu::with_index(3);
        (Process.cpu_index(), other.interrupts_are_on())
    });
    assert_eq!(other.join().unwrap(), (3, false));
    assert_eq!((Process.cpu_index(), this.interrupts_are_on()), (0, true));
}

#[test]
fn locks_work_between_threads_that_are_no_cpus() {
    struct ThisThread;
    impl CpuIndex for ThisThread {
        fn cpu_index() -> usize {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            std::thread_local!(static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed));
            INDEX.with(|index| *index)
        }
    }
    const ROUNDS: u32 = 1000;
    static COUNT: Mutex<ThisThread, u32> = Mutex::new(0);
    let _this = Cpu::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| *COUNT.lock() += 1));
        }
    });
    assert_eq!(*COUNT.lock(), 3 * ROUNDS);
    assert!(!COUNT.is_locked());
}

#[test]
#[should_panic = "this thread is a CPU already"]
fn a_thread_is_one_cpu() {
    let _this = Cpu::new();
    let _again = Cpu::new();
}

#[test]
fn frames_are_zeroed_and_aligned_and_text_can_be_written() {
    let _this = Cpu::new();
    let frame = Process.shared_frame().unwrap();
    assert!(frame.addr().get().is_multiple_of(4096));
    // SAFETY: a frame is 4096 bytes, and is ours.
    assert_eq!(unsafe { frame.cast::<[u8; 4096]>().read() }, [0; 4096]);
    assert_eq!(
        Process.virtual_to_physical(frame.addr().get()),
        Some(frame.addr().get() as u64)
    );
    let text = cpu::read_tsc as fn() -> u64 as usize;
    let mut written = None;
    // SAFETY: the byte is written as it is.
    unsafe {
        Process.with_writable_text(text..text + 1, &mut |distance| {
            let byte = (text as *mut u8).wrapping_offset(distance);
            byte.write_volatile(byte.read_volatile());
            written = Some(distance);
        });
    }
    assert_eq!(written, Some(0));
}

/// What a test can't survive is tried in a process of its own.
#[test]
fn what_nothing_can_end_ends_the_process() {
    const CASE: &str = "PVOPS_TESTING_CASE";
    fn sleep() {
        // SAFETY: no interrupt comes, which is the test.
        unsafe { irq::safe_halt() };
    }
    fn be_no_cpu() {
        drop(thread::spawn(irq::disable).join());
    }
    let cases: [(&str, fn(), &str); 3] = [
        ("halt", irq::halt, "halts with interrupts off"),
        ("safe_halt", sleep, "no event is set"),
        ("no_cpu", be_no_cpu, "a thread that is no CPU"),
    ];
    if let Ok(wanted) = std::env::var(CASE) {
        let _this = Cpu::new();
        let case = cases.iter().find(|(name, ..)| *name == wanted);
        case.unwrap().1();
        return;
    }
    for (name, _, reason) in cases {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::what_nothing_can_end_ends_the_process"])
            .arg("--nocapture")
            .env(CASE, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} went on");
        assert!(text.contains(reason), "{name}: {text}");
    }
}
