//! Which hypervisor interfaces this machine offers, by CPUID.
//!
//! A host may offer several interfaces at once (its own, and those of others that it imitates), and
//! may put any of them at any of 256 places. A kernel that looks at the first place only misses KVM
//! behind Hyper-V's leaves and Xen behind its own Hyper-V facade. So [`Interfaces::scan`] looks at
//! all of them and lists what it finds; each backend then asks for its own [`Signature`], and the
//! kernel takes the backend whose interface has the highest base. Which signature belongs to which
//! hypervisor is known to the backends only.
//!
//! # What counts as an interface
//!
//! The leaves 0x40000000 to 0x400000ff and on are no architecture's: Intel's and AMD's manuals
//! reserve them for software (Intel SDM volume 2A, "CPUID"; AMD APM volume 3, appendix E), and hosts
//! agree on a convention: leaf `base` gives the highest leaf in EAX and 12 bytes of name in EBX, ECX
//! and EDX. Nothing marks a place where there is no interface. An answer is an interface if
//!
//! - CPUID leaf 1 exists and sets ECX bit 31. Otherwise no leaf is even read;
//! - the name is [text](Signature::is_text): 5 to 12 printable ASCII characters, then NULs only;
//! - the highest leaf lies in `base..=base + 0xff`, or is 0, which old hosts write when they mean
//!   `base + 1` (KVM's Documentation/virt/kvm/x86/cpuid.rst);
//! - no interface at a lower base has the same name and as many leaves: that is an echo.
//!
//! # What happens on which machine
//!
//! | machine | outcome |
//! |---|---|
//! | bare hardware; hypervisor bit clear, whatever the leaves answer | nothing found, two reads |
//! | bit set, all leaves zero | nothing found |
//! | one known interface at 0x40000000 | one interface |
//! | a facade at 0x40000000, the host's own interface at 0x40000100 | two; the host's own is higher and wins |
//! | a facade alone, its name known to no backend | one interface that no backend asks for: native |
//! | unknown name | one interface that no backend asks for: native |
//! | highest leaf 0 | one interface with the leaf `base + 1` |
//! | leaves out of range answered with those of the highest basic leaf, as Intel's CPUs and many hosts do | nothing: numbers are not text, and the highest leaf is out of its range |
//! | low bits of the leaf ignored, one name at every base | one interface, at the lowest |
//! | garbage that looks like many interfaces | at most [`Interfaces::CAPACITY`] are kept, the lowest; the rest are counted as [dropped](Interfaces::dropped) |
//!
//! A name proves nothing: an interface is only as good as the features that its leaves announce, and
//! [`Interface::leaf`] gives none beyond the highest.
//!
//! # Cost and context
//!
//! A scan reads at most [`Interfaces::MAX_READS`] leaves, and under a hypervisor each one exits, so
//! scan once, at boot. It needs nothing but CPUID and can run on any CPU in any context. The reader
//! is the caller's: the instruction itself, a form of it that a hypervisor demands, or a recorded
//! machine.

mod interface;
mod signature;

pub use raw_cpuid::{CpuIdReader, CpuIdResult};

pub use self::interface::Interface;
pub use self::signature::Signature;

/// The hypervisor interfaces of this machine, in the order of their bases.
///
/// ```
/// use pvops_core::probe::{CpuIdResult, Interfaces, Signature};
///
/// # const NOTHING: CpuIdResult = CpuIdResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
/// // A recorded machine; a kernel executes CPUID here.
/// let cpuid = |leaf: u32, _subleaf: u32| match leaf {
///     0 => CpuIdResult { eax: 0xd, ..NOTHING },
///     1 => CpuIdResult { ecx: 1 << 31, ..NOTHING },
///     0x4000_0000 => CpuIdResult {
///         eax: 0x4000_0001,
///         ebx: u32::from_le_bytes(*b"Exam"),
///         ecx: u32::from_le_bytes(*b"pleE"),
///         edx: u32::from_le_bytes(*b"xamp"),
///     },
///     0x4000_0001 => CpuIdResult { eax: 0b11, ..NOTHING },
///     _ => NOTHING,
/// };
/// let interfaces = Interfaces::scan(&cpuid);
/// let example = interfaces.find(&Signature::new(*b"ExampleExamp")).unwrap();
/// assert_eq!(example.base(), 0x4000_0000);
/// assert_eq!(example.leaf(&cpuid, 1).unwrap().eax, 0b11);
/// assert!(example.leaf(&cpuid, 2).is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    found: [Interface; Self::CAPACITY],
    count: usize,
    dropped: u32,
    in_virtual_machine: bool,
}

impl Interfaces {
    /// The greatest number of interfaces that is kept. Machines are known with two.
    pub const CAPACITY: usize = 8;

    /// The most leaves that [`scan`](Self::scan) reads.
    pub const MAX_READS: usize = 2 + BASE_COUNT as usize;

    /// Looks for interfaces at 0x40000000, 0x40000100 and so on to 0x4000ff00.
    pub fn scan(reader: &impl CpuIdReader) -> Self {
        let mut interfaces = Self {
            in_virtual_machine: hypervisor_present(reader),
            ..Self::default()
        };
        if !interfaces.in_virtual_machine {
            return interfaces;
        }
        for index in 0..BASE_COUNT {
            let base = FIRST_BASE + index * BASE_STEP;
            if let Some(interface) = Interface::from_base_leaf(base, reader.cpuid1(base)) {
                interfaces.add(interface);
            }
        }
        interfaces
    }

    /// The interface of that name, with the highest base if there are several.
    pub fn find(&self, signature: &Signature) -> Option<&Interface> {
        let mut matching = self.iter().filter(|i| i.signature() == *signature);
        matching.next_back()
    }

    /// The interfaces, from the lowest base to the highest.
    pub fn iter(&self) -> core::slice::Iter<'_, Interface> {
        self.as_slice().iter()
    }

    /// The interfaces, from the lowest base to the highest.
    pub fn as_slice(&self) -> &[Interface] {
        &self.found[..self.count]
    }

    /// How many more interfaces there seemed to be than there is room for.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Whether CPUID says that this is a virtual machine, also one with no interface.
    pub(crate) fn in_virtual_machine(&self) -> bool {
        self.in_virtual_machine
    }

    fn add(&mut self, interface: Interface) {
        if self.iter().any(|found| found.is_echoed_by(&interface)) {
            return;
        }
        match self.found.get_mut(self.count) {
            Some(slot) => {
                *slot = interface;
                self.count += 1;
            }
            None => self.dropped += 1,
        }
    }
}

impl<'a> IntoIterator for &'a Interfaces {
    type Item = &'a Interface;
    type IntoIter = core::slice::Iter<'a, Interface>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn hypervisor_present(reader: &impl CpuIdReader) -> bool {
    let max_basic_leaf = reader.cpuid1(0).eax;
    max_basic_leaf >= 1 && reader.cpuid1(1).ecx & FEATURE_HYPERVISOR != 0
}

/// CPUID leaf 1 ECX bit 31: zero on all CPUs, set by hypervisors (AMD APM volume 3, appendix E.3.2
/// "Function 1h").
const FEATURE_HYPERVISOR: u32 = 1 << 31;

const FIRST_BASE: u32 = 0x4000_0000;
const BASE_STEP: u32 = 0x100;
const BASE_COUNT: u32 = 0x100;
