//! KVM.
#![no_std]
