//! Xen guests (PV, PVH, HVM). Nothing is implemented yet.
#![no_std]
