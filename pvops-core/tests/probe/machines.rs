//! Machines that exist. The leaves of Firecracker and Cloud Hypervisor were read by a guest; the
//! others are made from what their hosts' sources and documents say.
//!
//! Each is tried with both vendors' answers to leaves out of range.

use pvops_core::probe::Signature;

use super::replay::{Machine, OutOfRange};

const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";
const XEN: &[u8; 12] = b"XenVMMXenVMM";
const HYPERV: &[u8; 12] = b"Microsoft Hv";
const HV_1: u32 = u32::from_le_bytes(*b"Hv#1");

fn each_vendor() -> [Machine; 2] {
    [OutOfRange::Zero, OutOfRange::HighestBasicLeaf].map(Machine::new)
}

fn names(found: &[(u32, u32, &str)]) -> Vec<(u32, u32, String)> {
    let found = found.iter();
    found.map(|&(b, m, n)| (b, m, n.to_string())).collect()
}

#[test]
fn qemu_tcg() {
    for machine in each_vendor() {
        let machine = machine.with_name(0x4000_0000, 0x4000_0001, b"TCGTCGTCGTCG");
        let expected = names(&[(0x4000_0000, 0x4000_0001, "TCGTCGTCGTCG")]);
        assert_eq!(machine.scanned(), expected);
        assert_eq!(machine.scan().find(&Signature::new(*KVM)), None);
    }
}

#[test]
fn kvm_under_firecracker() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_0001, KVM)
            .with(0x4000_0001, [0x0100_7efb, 0, 0, 0]);
        assert_eq!(
            machine.scanned(),
            names(&[(0x4000_0000, 0x4000_0001, "KVMKVMKVM")])
        );
        let interfaces = machine.scan();
        let kvm = interfaces.find(&Signature::new(*KVM)).unwrap();
        assert_eq!(kvm.leaf(&machine, 1).unwrap().eax, 0x0100_7efb);
        // The timing leaf is not there, whatever CPUID would answer.
        assert!(kvm.leaf(&machine, 0x10).is_none());
    }
}

#[test]
fn kvm_with_timing_leaf_under_cloud_hypervisor() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_0010, KVM)
            .with(0x4000_0001, [0x0100_fefb, 0, 0, 0])
            .with(0x4000_0010, [0x0027_ac40, 0x000f_4240, 0, 0]);
        assert_eq!(
            machine.scanned(),
            names(&[(0x4000_0000, 0x4000_0010, "KVMKVMKVM")])
        );
        let interfaces = machine.scan();
        let kvm = interfaces.find(&Signature::new(*KVM)).unwrap();
        assert_eq!(kvm.leaf(&machine, 0x10).unwrap().eax, 2_600_000);
        assert!(kvm.leaf(&machine, 0x11).is_none());
    }
}

#[test]
fn old_kvm_gives_no_highest_leaf() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0, KVM)
            .with(0x4000_0001, [0x0100_000b, 0, 0, 0]);
        let interfaces = machine.scan();
        let kvm = interfaces.find(&Signature::new(*KVM)).unwrap();
        assert_eq!(kvm.max_leaf(), 0x4000_0001);
        assert_eq!(kvm.leaf(&machine, 1).unwrap().eax, 0x0100_000b);
        assert!(kvm.leaf(&machine, 2).is_none());
    }
}

#[test]
fn kvm_behind_hyperv_enlightenments() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_000a, HYPERV)
            .with(0x4000_0001, [HV_1, 0, 0, 0])
            .with_name(0x4000_0100, 0x4000_0101, KVM)
            .with(0x4000_0101, [0x0100_7efb, 0, 0, 0]);
        assert_eq!(
            machine.scanned(),
            names(&[
                (0x4000_0000, 0x4000_000a, "Microsoft Hv"),
                (0x4000_0100, 0x4000_0101, "KVMKVMKVM")
            ])
        );
        let interfaces = machine.scan();
        let kvm = interfaces.find(&Signature::new(*KVM)).unwrap();
        let facade = interfaces.find(&Signature::new(*HYPERV)).unwrap();
        assert!(kvm.base() > facade.base());
        assert_eq!(kvm.leaf(&machine, 1).unwrap().eax, 0x0100_7efb);
        assert_eq!(facade.leaf(&machine, 1).unwrap().eax, HV_1);
    }
}

#[test]
fn xen() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_0005, XEN)
            .with(0x4000_0001, [0x0004_0011, 0, 0, 0]);
        assert_eq!(
            machine.scanned(),
            names(&[(0x4000_0000, 0x4000_0005, "XenVMMXenVMM")])
        );
    }
}

#[test]
fn xen_with_viridian() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_0006, HYPERV)
            .with(0x4000_0001, [HV_1, 0, 0, 0])
            .with_name(0x4000_0100, 0x4000_0105, XEN)
            .with_subleaf(0x4000_0103, 0, [3, 2, 2_600_000, 1])
            .with_subleaf(0x4000_0103, 1, [0x1234, 0, 0xc4ec_4ec4, 0xffff_ffff]);
        assert_eq!(
            machine.scanned(),
            names(&[
                (0x4000_0000, 0x4000_0006, "Microsoft Hv"),
                (0x4000_0100, 0x4000_0105, "XenVMMXenVMM")
            ])
        );
        let interfaces = machine.scan();
        let xen = interfaces.find(&Signature::new(*XEN)).unwrap();
        assert_eq!(xen.leaf(&machine, 3).unwrap().ecx, 2_600_000);
        assert_eq!(xen.subleaf(&machine, 3, 1).unwrap().ecx, 0xc4ec_4ec4);
        assert!(xen.subleaf(&machine, 6, 0).is_none());
    }
}

/// The facade under another name, and no leaves of KVM's own anywhere.
#[test]
fn cloud_hypervisor_with_hyperv_facade() {
    for machine in each_vendor() {
        let machine = machine
            .with_name(0x4000_0000, 0x4000_000a, b"Linux KVM Hv")
            .with(0x4000_0001, [HV_1, 0, 0, 0])
            .with(0x4000_0002, [0x3839, 0x000a_0000, 0, 0])
            .with(0x4000_0003, [0xa7f, 0, 0, 0x118])
            .with(0x4000_0004, [0x62e, 0xfff, 0, 0]);
        assert_eq!(
            machine.scanned(),
            names(&[(0x4000_0000, 0x4000_000a, "Linux KVM Hv")])
        );
        let interfaces = machine.scan();
        for known in [KVM, XEN, HYPERV] {
            assert_eq!(interfaces.find(&Signature::new(*known)), None);
        }
    }
}

#[test]
fn unknown_vendor() {
    for machine in each_vendor() {
        let machine = machine.with_name(0x4000_0000, 0x4000_0002, b"NobodyKnows\0");
        let expected = names(&[(0x4000_0000, 0x4000_0002, "NobodyKnows")]);
        assert_eq!(machine.scanned(), expected);
        assert_eq!(machine.scan().find(&Signature::new(*KVM)), None);
    }
}

/// Leaves that answer prove nothing without the hypervisor bit.
#[test]
fn hypervisor_bit_clear() {
    for machine in each_vendor() {
        let machine = machine
            .with(1, [0x0009_06ea, 0x0001_0800, 0x7ffa_3203, 0x1f8b_fbff])
            .with_name(0x4000_0000, 0x4000_0001, KVM);
        assert_eq!(machine.scanned(), []);
        assert_eq!(machine.reads(), 2);
    }
}

#[test]
fn a_hypervisor_without_leaves() {
    for machine in each_vendor() {
        assert_eq!(machine.scanned(), []);
        assert_eq!(machine.reads(), 258);
    }
}
