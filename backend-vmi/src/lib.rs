//! VMI 3.0 guests (32-bit). Only the interface's constants and layouts so far.
#![no_std]

pub mod abi;
