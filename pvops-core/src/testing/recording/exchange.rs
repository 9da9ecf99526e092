//! What a line of a recording says.

use core::fmt;
use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

use super::word::{Word, number};
use crate::probe::CpuIdResult;

/// What was asked or told once.
#[derive(Clone, Debug)]
pub(in crate::testing) enum Exchange {
    Cpuid {
        leaf: u32,
        subleaf: u32,
        answer: CpuIdResult,
    },
    /// No value where RDMSR raised #GP.
    ReadMsr {
        index: u32,
        value: Option<u64>,
    },
    /// The time-stamp counter was read.
    ReadTsc(u64),
    Told(Told),
}

/// What the host was told, and what it has then written to memory.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Told {
    pub(in crate::testing) what: What,
    pub(in crate::testing) memory: Vec<HostWrite>,
}

/// What it was told.
#[derive(Clone, Debug)]
pub(in crate::testing) enum What {
    /// Not done where WRMSR raised #GP.
    WriteMsr {
        index: u32,
        value: Word,
        is_done: bool,
    },
    Hypercall {
        number: u64,
        arguments: Vec<Argument>,
        result: u64,
    },
}

/// An argument of a hypercall, by the register that it is in.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Argument {
    pub(in crate::testing) register: String,
    pub(in crate::testing) value: Value,
}

/// What is in the register.
#[derive(Clone, Debug)]
pub(in crate::testing) enum Value {
    Word(Word),
    /// The address of a structure of these words, of eight bytes each.
    Structure(Vec<Word>),
}

/// What a host has written.
#[derive(Clone, Debug)]
pub(in crate::testing) struct HostWrite {
    pub(in crate::testing) place: Place,
    pub(in crate::testing) bytes: Vec<u8>,
}

/// Where a host has written.
#[derive(Clone, Debug)]
pub(in crate::testing) enum Place {
    /// To a frame that is shared with it.
    Frame { frame: usize, offset: usize },
    /// To the structure that an argument of the call leads to.
    Argument { register: String, offset: usize },
}

impl Exchange {
    pub(super) fn told_mut(&mut self) -> Option<&mut Told> {
        match self {
            Exchange::Told(told) => Some(told),
            Exchange::Cpuid { .. } | Exchange::ReadMsr { .. } | Exchange::ReadTsc(_) => None,
        }
    }
}

impl Told {
    pub(super) fn new(what: What) -> Self {
        Told {
            what,
            memory: Vec::new(),
        }
    }
}

/// As a recording names it, without values.
impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::WriteMsr { index, .. } => write!(formatter, "wrmsr {index:#x}"),
            What::Hypercall { number, .. } => write!(formatter, "hypercall {number:#x}"),
        }
    }
}

impl Argument {
    /// Reads `rsi=&0x0,0x1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (register, value) = text.split_once('=')?;
        let value = match value.strip_prefix('&') {
            None => Value::Word(Word::parse(value)?),
            Some(words) => {
                Value::Structure(words.split(',').map(Word::parse).collect::<Option<_>>()?)
            }
        };
        Some(Argument {
            register: register.to_owned(),
            value,
        })
    }
}

impl Place {
    /// Reads `frame0+0x80`, or `rsi+0x0`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(Word::InFrame { frame, offset }) = Word::parse(text) {
            let offset = offset as usize;
            return Some(Place::Frame { frame, offset });
        }
        let (register, offset) = text.split_once('+')?;
        Some(Place::Argument {
            register: register.to_owned(),
            offset: number(offset)?,
        })
    }
}
