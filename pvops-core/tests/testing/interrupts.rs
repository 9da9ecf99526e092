//! The flag, and who waits for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pvops_core::testing::Cpu;
use pvops_core::{irq, op};

/// A CPU whose interrupts are noted.
fn noting(vectors: &[u8]) -> (Cpu, Rc<RefCell<Vec<u8>>>) {
    let this = Cpu::new();
    let came = Rc::new(RefCell::new(Vec::new()));
    for &vector in vectors {
        let came = came.clone();
        this.on_interrupt(vector, move || {
            assert_eq!(
                irq::save_flags() & 0x200,
                0,
                "a handler begins with interrupts off"
            );
            came.borrow_mut().push(vector);
        });
    }
    (this, came)
}

#[test]
fn they_wait_for_the_flag_and_the_highest_comes_first() {
    let (this, came) = noting(&[32, 48, 64]);
    for vector in [48, 32, 64, 48] {
        this.raise(vector);
    }
    assert_eq!(this.pending(), [32, 48, 64]);
    assert!(came.borrow().is_empty());
    // SAFETY: each has its handler.
    unsafe { irq::enable() };
    assert_eq!(*came.borrow(), [64, 48, 32]);
    assert!(this.interrupts_are_on());
    this.raise(48);
    assert_eq!(came.borrow().last(), Some(&48));
}

#[test]
fn without_nests_and_puts_back_what_was() {
    let (this, came) = noting(&[32]);
    assert_eq!(irq::without(|| irq::without(|| 7)), 7);
    assert!(!this.interrupts_are_on());
    // SAFETY: it has its handler.
    unsafe { irq::enable() };
    irq::without(|| {
        irq::without(|| this.raise(32));
        assert!(!this.interrupts_are_on());
        assert!(came.borrow().is_empty());
    });
    assert_eq!(*came.borrow(), [32]);
    let unwound = std::panic::catch_unwind(|| irq::without(|| panic!("within")));
    assert!(unwound.is_err());
    assert!(this.interrupts_are_on());
}

#[test]
fn a_handler_may_let_others_in() {
    let this = Cpu::new();
    let depth = Rc::new(Cell::new(0));
    let deepest = depth.clone();
    // SAFETY: both have their handlers.
    this.on_interrupt(32, || unsafe { irq::enable() });
    this.on_interrupt(33, move || deepest.set(deepest.get() + 1));
    this.raise(32);
    this.raise(33);
    this.take_ops();
    // SAFETY: as above.
    unsafe { irq::enable() };
    assert_eq!(depth.get(), 1);
    let ops = this.take_ops();
    assert!(
        ops.iter()
            .all(|performed| performed.is::<op::irq::enable>())
    );
    assert_eq!(ops.len(), 2);
}

#[test]
#[should_panic = "interrupt 32 came and has no handler"]
fn one_without_a_handler_fails_the_test() {
    let this = Cpu::new();
    this.raise(32);
    // SAFETY: what comes of it is the test.
    unsafe { irq::enable() };
}

#[test]
#[should_panic = "within a handler"]
fn a_panic_in_a_handler_fails_the_test() {
    let this = Cpu::new();
    this.on_interrupt(32, || panic!("within a handler"));
    // SAFETY: as above.
    unsafe { irq::enable() };
    this.raise(32);
    this.pending();
}

#[test]
fn a_halt_ends_by_what_is_pending() {
    let (this, came) = noting(&[32]);
    this.raise(32);
    // SAFETY: it has its handler.
    unsafe { irq::safe_halt() };
    assert_eq!(*came.borrow(), [32]);
}
