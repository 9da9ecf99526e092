//! VMI 3.0 guests (32-bit). Nothing is implemented yet.
#![no_std]
