//! What the tests and `cargo xtask` must know about a linked kernel: its call sites,
//! its symbols, and where it executes privileged instructions.
//!
//! All of that reads the ELF file only, so it can check what the linker really made,
//! whatever linker, profile and link-time optimisation were used. A damaged file gives an
//! error, never a panic.
//!
//! [`process`], [`registers`] and [`check`] are for programs that patch themselves, [`replayed`] for tests that
//! install a backend by what its host has answered in a real boot.
// A test that can't go on panics.
#![allow(clippy::missing_panics_doc)]

pub mod callee;
pub mod check;
pub mod disassembly;
pub mod image;
pub mod privileged;
pub mod process;
pub mod registers;
pub mod replayed;
pub mod sample;
pub mod sites;
pub mod symbols;
