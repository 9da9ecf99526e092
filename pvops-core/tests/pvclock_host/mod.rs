//! The host's half of the clock protocol, as KVM and Xen write it.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::boxed::Box;
use std::ptr::NonNull;

#[cfg(loom)]
use loom::sync::atomic::{Ordering::Relaxed, Ordering::Release, fence};
#[cfg(not(loom))]
use std::sync::atomic::{Ordering::Relaxed, Ordering::Release, fence};

use pvops_core::pvclock::{TimeInfo, TimeInfoPointer};

/// What a host puts into a record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    pub(crate) tsc_timestamp: u64,
    pub(crate) system_time_ns: u64,
    pub(crate) multiplier: u32,
    pub(crate) shift: i8,
    pub(crate) flags: u8,
}

impl State {
    /// A 1 GHz TSC that was 0 when the system time was `ns`.
    pub(crate) fn at(ns: u64) -> Self {
        Self {
            system_time_ns: ns,
            multiplier: 1 << 31,
            shift: 1,
            ..Self::default()
        }
    }

    pub(crate) fn with_flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }
}

/// The record of one CPU, with its host.
#[derive(Clone, Copy)]
pub(crate) struct Host {
    pub(crate) record: &'static TimeInfo,
    /// The host's own copy of the version, like KVM's. Reading the record's
    /// would also hide interleavings from loom, which takes an access to depend
    /// on the one before it only.
    version: &'static std::sync::atomic::AtomicU32,
}

impl Host {
    pub(crate) fn new() -> Self {
        #[repr(align(64))]
        struct Line(TimeInfo);
        Self {
            record: &Box::leak(Box::new(Line(TimeInfo::zeroed()))).0,
            version: Box::leak(Box::default()),
        }
    }

    pub(crate) fn with(state: State) -> Self {
        let host = Self::new();
        host.write(state);
        host
    }

    pub(crate) fn pointer(self) -> TimeInfoPointer {
        // SAFETY: the record is never freed, and made of atomics.
        unsafe { TimeInfoPointer::new(NonNull::from(self.record)) }.unwrap()
    }

    /// Changes the record by the protocol.
    pub(crate) fn write(self, state: State) {
        self.begin();
        self.write_fields(state);
        self.end();
    }

    /// Makes the version odd: an update is under way.
    pub(crate) fn begin(self) {
        self.step_version();
        fence(Release);
    }

    pub(crate) fn write_fields(self, state: State) {
        self.record.tsc_timestamp.store(state.tsc_timestamp);
        self.record.system_time_ns.store(state.system_time_ns);
        self.record
            .tsc_to_system_multiplier
            .store(state.multiplier, Relaxed);
        self.record.tsc_shift.store(state.shift, Relaxed);
        self.record.flags.store(state.flags, Relaxed);
    }

    /// Makes the version even again.
    pub(crate) fn end(self) {
        fence(Release);
        self.step_version();
    }

    /// Goes on from a version of the caller's choice.
    pub(crate) fn set_version(self, version: u32) {
        self.version.store(version, Relaxed);
        self.record.version.store(version, Relaxed);
    }

    fn step_version(self) {
        let version = self.version.load(Relaxed).wrapping_add(1);
        self.set_version(version);
    }
}
