//! What the tests and `cargo xtask` must know about a linked kernel: its call sites,
//! its symbols, and where it executes privileged instructions.
//!
//! Everything here reads the ELF file only, so it can check what the linker really made,
//! whatever linker, profile and link-time optimisation were used. A damaged file gives an
//! error, never a panic.

pub mod callee;
pub mod disassembly;
pub mod image;
pub mod privileged;
pub mod sample;
pub mod sites;
pub mod symbols;
