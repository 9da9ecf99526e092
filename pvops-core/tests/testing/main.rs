//! The simulated CPU itself: that it does what a CPU would, and that tests which use it can fail.

use pvops_backend_native as _; // It defines the op table.

mod interrupts;
mod memory;
mod process;
mod registers;
mod replay;
mod time;
