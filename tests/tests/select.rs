//! The choice of a backend, from CPUID as machines answer it.

use std::collections::BTreeMap;

use pvops_backend_kvm as kvm;
use pvops_backend_native as native;
use pvops_core::backend::{Backend, BindError, SelectError, select};
use pvops_core::probe::{CpuIdResult, Interfaces, Signature};

static OTHER: Backend = Backend {
    name: "other",
    signature: Some(Signature::new(*b"OtherOtherOt")),
    bind: |_| Err(BindError("not here")),
    bring_up_cpu: |_| Ok(()),
    take_down_cpu: |_| {},
};

static BACKENDS: [&Backend; 3] = [&native::BACKEND, &kvm::BACKEND, &OTHER];

/// A machine with these interfaces, by base leaf and signature.
fn machine(hypervisor: bool, interfaces: &[(u32, &[u8; 12])]) -> Interfaces {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut leaves = BTreeMap::new();
    leaves.insert(
        0,
        CpuIdResult {
            eax: 0xd,
            ebx: 0,
            ecx: 0,
            edx: 0,
        },
    );
    let ecx = u32::from(hypervisor) << 31;
    leaves.insert(
        1,
        CpuIdResult {
            eax: 0,
            ebx: 0,
            ecx,
            edx: 0,
        },
    );
    for (base, name) in interfaces {
        let (ebx, ecx, edx) = (word(&name[..4]), word(&name[4..8]), word(&name[8..]));
        leaves.insert(
            *base,
            CpuIdResult {
                eax: base + 1,
                ebx,
                ecx,
                edx,
            },
        );
    }
    let nothing = CpuIdResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };
    Interfaces::scan(&move |leaf, _| *leaves.get(&leaf).unwrap_or(&nothing))
}

const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";
const HYPER_V: &[u8; 12] = b"Microsoft Hv";
const TCG: &[u8; 12] = b"TCGTCGTCGTCG";
const OTHER_SIGNATURE: &[u8; 12] = b"OtherOtherOt";

fn chosen(interfaces: &Interfaces, name: Option<&str>) -> Result<&'static str, SelectError> {
    select(&BACKENDS, interfaces, name).map(|backend| backend.name)
}

#[test]
fn the_host_decides() {
    for (hypervisor, interfaces, backend) in [
        (false, vec![], "native"),
        (true, vec![], "native"),
        (true, vec![(0x4000_0000, TCG)], "native"),
        (true, vec![(0x4000_0000, HYPER_V)], "native"),
        (true, vec![(0x4000_0000, KVM)], "kvm"),
        // Under the facade of another hypervisor.
        (
            true,
            vec![(0x4000_0000, HYPER_V), (0x4000_0100, KVM)],
            "kvm",
        ),
        // Leaves without the hypervisor bit are none.
        (false, vec![(0x4000_0000, KVM)], "native"),
    ] {
        let machine = machine(hypervisor, &interfaces);
        assert_eq!(chosen(&machine, None), Ok(backend), "{machine:?}");
    }
}

#[test]
fn the_highest_base_wins_whatever_the_order_of_the_backends() {
    for (kvm_base, other_base, backend) in [
        (0x4000_0000, 0x4000_0100, "other"),
        (0x4000_0200, 0x4000_0100, "kvm"),
    ] {
        let machine = machine(true, &[(kvm_base, KVM), (other_base, OTHER_SIGNATURE)]);
        assert_eq!(chosen(&machine, None), Ok(backend));
        let mut reversed = BACKENDS;
        reversed.reverse();
        assert_eq!(
            select(&reversed, &machine, None).map(|backend| backend.name),
            Ok(backend)
        );
    }
}

#[test]
fn a_name_overrides_the_host() {
    let machine = machine(true, &[(0x4000_0000, KVM)]);
    assert_eq!(chosen(&machine, Some("native")), Ok("native"));
    assert_eq!(chosen(&machine, Some("other")), Ok("other"));
    for name in ["", "Native", "xen", "kvm "] {
        assert_eq!(
            chosen(&machine, Some(name)),
            Err(SelectError::UnknownName),
            "{name:?}"
        );
    }
}

#[test]
fn a_kernel_without_a_fitting_backend_is_told() {
    let nothing = machine(false, &[]);
    let guests_only: [&Backend; 1] = [&kvm::BACKEND];
    assert_eq!(
        select(&guests_only, &nothing, None).err(),
        Some(SelectError::NoneFits)
    );
    assert_eq!(
        select(&[], &nothing, None).err(),
        Some(SelectError::NoneFits)
    );
}

#[test]
fn old_kvm_with_a_last_leaf_of_0_offers_its_feature_leaf() {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let interfaces = Interfaces::scan(&|leaf, _| match leaf {
        0 => CpuIdResult {
            eax: 2,
            ebx: 0,
            ecx: 0,
            edx: 0,
        },
        1 => CpuIdResult {
            eax: 0,
            ebx: 0,
            ecx: 1 << 31,
            edx: 0,
        },
        0x4000_0000 => CpuIdResult {
            eax: 0,
            ebx: word(&KVM[..4]),
            ecx: word(&KVM[4..8]),
            edx: word(&KVM[8..]),
        },
        _ => CpuIdResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        },
    });
    assert_eq!(chosen(&interfaces, None), Ok("kvm"));
    assert_eq!(interfaces.as_slice()[0].max_leaf(), 0x4000_0001);
}
