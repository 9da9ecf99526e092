//! A simulated CPU, for tests of code that uses ops: `cargo test`, an ordinary process, no hypervisor.
//!
//! A kernel's own code is full of ops, and a process may execute none of what is behind them. Here every op
//! leads to variables of the thread that uses it. A test makes its thread a [`Cpu`], runs the code, and looks
//! at what became of the CPU, and at [what it was told](Cpu::take_ops):
//!
//! ```
//! use pvops_backend_native as _; // It defines the op table.
//! use pvops_core::testing::Cpu;
//! use pvops_core::{irq, mmu, op};
//!
//! /// The code under test.
//! fn map(entry: &mut u64, address: usize, value: u64) {
//!     irq::without(|| {
//!         // SAFETY: the entry is of a table that nobody uses yet.
//!         unsafe { mmu::set_pte(entry, mmu::make_entry(value)) };
//!         mmu::flush_tlb_page(address);
//!     });
//! }
//!
//! let this = Cpu::new();
//! let mut entry = 0;
//! map(&mut entry, 0x40_0000, 0x1063);
//! assert_eq!(entry, 0x1063);
//! let ops = this.take_ops();
//! assert_eq!(ops[0], "irq.save_flags() = 0x2");
//! assert_eq!(ops[1], "irq.disable()");
//! assert!(ops[3].is::<op::mmu::set_pte>());
//! assert_eq!(ops[4], "mmu.flush_tlb_page(0x400000)");
//! assert_eq!(ops[5], "irq.restore_flags(0x2)");
//! ```
//!
//! # How to depend on it
//!
//! By the feature `testing`, which is for tests only; it needs Linux and std, and on other targets it is
//! nothing, so that a kernel's own build does not mind it:
//!
//! ```toml
//! [dev-dependencies]
//! pvops-core = { version = "0.1", features = ["testing"] }
//! pvops-backend-native = "0.1"
//! ```
//!
//! `pvops-backend-native` defines the op table, here as in a kernel; a test of code that does not name it
//! says `use pvops_backend_native as _;`, else the linker misses `pvops_op_table`. The first [`Cpu`] has
//! the table lead here. Before that an op executes the native instruction, which ends the process by a
//! signal; later an op on a thread that is no CPU ends it with a message.
//!
//! This is a module of `pvops-core` and no crate of its own, as only this crate can bind every op, those of
//! hypercalls included.
//!
//! # Interrupts
//!
//! They come when the flag is on and not before, as on a CPU; handlers are closures.
//!
//! ```
//! # use pvops_backend_native as _;
//! use std::{cell::Cell, rc::Rc};
//! use pvops_core::{irq, testing::Cpu};
//!
//! let this = Cpu::new();
//! let count = Rc::new(Cell::new(0));
//! let counted = count.clone();
//! this.on_interrupt(32, move || counted.set(counted.get() + 1));
//! this.raise(32);
//! assert_eq!((count.get(), this.pending()), (0, vec![32]));
//! // SAFETY: there is a handler.
//! unsafe { irq::enable() };
//! assert_eq!((count.get(), this.pending()), (1, vec![]));
//! irq::without(|| {
//!     this.raise(32);
//!     assert_eq!(count.get(), 1);
//! });
//! assert_eq!(count.get(), 2);
//! ```
//!
//! # Registers
//!
//! Control registers, bases, ports and the local APIC's registers keep what is written. Model-specific
//! registers exist if the test says so; touching another is #GP, by which the test fails, or an error of
//! the ops that allow for it.
//!
//! ```
//! # use pvops_backend_native as _;
//! use pvops_core::{cpu, msr::MsrFault, testing::Cpu};
//!
//! const APIC_BASE: u32 = 0x1b;
//! let this = Cpu::new();
//! assert_eq!(cpu::read_msr_safe(APIC_BASE), Err(MsrFault));
//! this.set_msr(APIC_BASE, 0xfee0_0900);
//! // SAFETY: the register is there, and only a variable.
//! unsafe { cpu::write_msr(APIC_BASE, cpu::read_msr(APIC_BASE) | 1 << 10) };
//! assert_eq!(this.msr(APIC_BASE), Some(0xfee0_0d00));
//! ```
//!
//! # Time
//!
//! It passes when the test says so, by a nanosecond at each reading, and by as much as it takes when the CPU
//! halts and an event is set. The time-stamp counter counts nanoseconds.
//!
//! ```
//! # use pvops_backend_native as _;
//! use std::{cell::Cell, rc::Rc};
//! use pvops_core::{irq, testing::Cpu, time};
//!
//! let this = Cpu::new();
//! let came_ns = Rc::new(Cell::new(0));
//! let noted_ns = came_ns.clone();
//! this.on_interrupt(48, move || noted_ns.set(time::clock_ns()));
//! let deadline_ns = time::clock_ns() + 1_000_000;
//! // SAFETY: there is a handler.
//! unsafe {
//!     time::setup_event(48);
//!     assert_eq!(time::set_event(deadline_ns), pvops_core::event::EventStatus::SET);
//!     irq::safe_halt();
//! }
//! assert_eq!(came_ns.get(), deadline_ns + 1);
//! ```
//!
//! # Page tables
//!
//! Entries are memory of the test. In [lazy mode](crate::lazy) stores are put off as on hosts that gather
//! them, so code that reads back too early shows it:
//!
//! ```
//! # use pvops_backend_native as _;
//! use pvops_core::{mmu, testing::Cpu};
//!
//! let _this = Cpu::new();
//! let mut table = [0_u64; 512];
//! let table = table.as_mut_ptr();
//! let lazy = mmu::lazy();
//! // SAFETY: the table is ours, and outlives lazy mode.
//! unsafe {
//!     mmu::set_pte(table, 0x1003);
//!     assert_eq!(table.read_volatile(), 0);
//!     lazy.flush();
//!     assert_eq!(table.read_volatile(), 0x1003);
//! }
//! ```
//!
//! # Locks and threads
//!
//! [Locks](crate::lock) work as on bare hardware, where waiters spin, between as many threads as a test has.
//! Each thread that uses other ops is a CPU of its own ([`Cpu::with_index`]). CPUs don't reach each other:
//! interrupts to others, like all that is said to the machine, are noted and have no effect.
//!
//! # A real host's answers
//!
//! A [`Recording`] of a real boot answers CPUID, the time-stamp counter, model-specific registers and
//! hypercalls, the memory that the host has written included, and fails the test where the host is told
//! anything else than in that boot. With [`simulate`] a backend is installed on it. The tests of this
//! project do so with KVM and Xen: `tests/tests/replay_kvm.rs`, `replay_xen.rs`.
//!
//! ```
//! # use pvops_backend_native as _;
//! use pvops_core::cpu;
//! use pvops_core::probe::{Interfaces, Signature};
//! use pvops_core::testing::{Cpu, Recording};
//!
//! let recording: Recording = "
//!     cpuid 0x0 0x0 = 0xd 0x756e6547 0x6c65746e 0x49656e69
//!     cpuid 0x1 0x0 = 0x0 0x0 0x80000000 0x0
//!     cpuid 0x40000000 0x0 = 0x40000001 0x4b4d564b 0x564b4d56 0x4d
//! ".parse()?;
//! let this = Cpu::new();
//! this.replay(&recording);
//! let interfaces = Interfaces::scan(&cpu::cpuid);
//! assert!(interfaces.find(&Signature::new(*b"KVMKVMKVM\0\0\0")).is_some());
//! # Ok::<(), pvops_core::testing::RecordingError>(())
//! ```
//!
//! # What it is not
//!
//! Not an emulator. There is no descriptor table, no ring, no TLB, no second CPU that an interrupt would reach;
//! an op that leaves for a program (`cpu.interrupt_return`) traps. Call sites are not patched, unless the
//! test installs a backend. That the code works on a host only a boot on that host shows.

mod cpu;
mod hypercall;
mod interrupts;
mod ops;
mod page_tables;
mod performed;
mod process;
mod recording;
mod registers;
mod replay;
mod state;
mod table;
mod time;

pub use cpu::Cpu;
pub use hypercall::HypercallRegisters;
pub use ops::simulate;
pub use performed::Performed;
pub use process::Process;
pub use recording::{ClockReading, Recording, RecordingError};
