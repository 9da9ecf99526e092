//! The paravirtual clock that KVM and Xen share.
