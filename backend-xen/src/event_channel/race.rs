//! Two at the same time, many times over.

extern crate std;

use core::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// In each round `prepare`, then `one` and `other` at the same time on two threads, then `check`.
pub(super) fn race(prepare: impl Fn(), one: impl Fn() + Sync, other: impl Fn(), check: impl Fn()) {
    let rounds = if cfg!(miri) { 100 } else { 50_000 };
    let (started, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    let wait = |counter: &AtomicU32, round: u32| {
        let mut looks = 0_u32;
        while counter.load(Ordering::SeqCst) < round {
            looks += 1;
            match looks % 1000 {
                // The machine may have one CPU.
                0 => thread::yield_now(),
                _ => core::hint::spin_loop(),
            }
        }
    };
    thread::scope(|scope| {
        let _let_go = LetGo(&started);
        scope.spawn(|| {
            for round in 1..=rounds {
                wait(&started, round);
                one();
                ended.store(round, Ordering::SeqCst);
            }
        });
        for round in 1..=rounds {
            prepare();
            started.store(round, Ordering::SeqCst);
            // Now the one, now the other is ahead.
            (0..round % 64).for_each(|_| core::hint::spin_loop());
            other();
            wait(&ended, round);
            check();
        }
    });
}

/// Lets the other thread run to its end, also when a check has failed.
struct LetGo<'a>(&'a AtomicU32);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.store(u32::MAX, Ordering::SeqCst);
    }
}
