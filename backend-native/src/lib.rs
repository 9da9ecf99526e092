//! Native.
#![no_std]
