//! Which hypervisor interfaces this machine offers.
