//! System calls. A number that is none gives [`NO_RESULT`], as does what fails.

use pvops_core::irq;

use crate::frame::Frame;
use crate::scheduler;

/// Ends the program with the code in its argument.
pub(crate) const EXIT: u64 = 0;
/// Does nothing.
pub(crate) const NOTHING: u64 = 1;
/// Lets others run.
pub(crate) const YIELD: u64 = 2;
/// Makes a second program of this one, for which the result is 0.
pub(crate) const FORK: u64 = 3;
/// Waits for a program that was forked, and gives how it has ended.
pub(crate) const WAIT: u64 = 4;
/// How often the program's time was over.
pub(crate) const TURNS: u64 = 5;

/// The result of what can't be done.
pub(crate) const NO_RESULT: u64 = u64::MAX;

/// All system calls come here, interrupts off.
pub(crate) extern "C" fn handle(frame: &mut Frame) {
    // SAFETY: a program had them on.
    unsafe { irq::enable() };
    let result = match frame.system_call() {
        EXIT => scheduler::exit(frame.argument()),
        NOTHING => 0,
        YIELD => {
            scheduler::yield_now();
            0
        }
        FORK => scheduler::fork(frame).unwrap_or(NO_RESULT),
        WAIT => scheduler::wait().unwrap_or(NO_RESULT),
        TURNS => scheduler::turns(),
        _ => NO_RESULT,
    };
    frame.set_result(result);
    irq::disable();
    scheduler::preempt();
}
