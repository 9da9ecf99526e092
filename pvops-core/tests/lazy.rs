//! The rules of lazy mode: which end of which guard has an effect.

use pvops_core::lazy::LazyDepth;

#[test]
fn only_the_outermost_guard_leaves() {
    let depth = LazyDepth::new();
    assert!(!depth.is_lazy());
    depth.enter();
    depth.enter();
    assert!(!depth.leave());
    assert!(depth.is_lazy());
    assert!(depth.leave());
    assert!(!depth.is_lazy());
}

#[test]
fn a_handler_flushes_first_and_puts_nothing_off() {
    let depth = LazyDepth::new();
    depth.enter();
    assert!(depth.pause());
    assert!(!depth.is_lazy());
    // The handler's own guard has no effect, at either end.
    depth.enter();
    assert!(!depth.is_lazy());
    assert!(!depth.leave());
    // Nor has a handler that interrupts this one.
    assert!(!depth.pause());
    depth.resume();
    assert!(!depth.is_lazy());
    depth.resume();
    assert!(depth.is_lazy());
    assert!(depth.leave());
}

#[test]
fn a_handler_outside_of_lazy_mode_has_nothing_to_flush() {
    let depth = LazyDepth::new();
    assert!(!depth.pause());
    depth.resume();
    assert!(!depth.is_lazy());
}

#[test]
fn unbalanced_ends_do_not_wrap() {
    let depth = LazyDepth::new();
    assert!(!depth.leave());
    depth.resume();
    assert!(!depth.is_lazy());
    depth.enter();
    assert!(depth.is_lazy());
}
