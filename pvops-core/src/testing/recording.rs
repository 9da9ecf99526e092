//! What a kernel and its host have said to each other in a real boot.

use std::fmt;
use std::vec::Vec;

use crate::probe::CpuIdResult;

/// The CPUID, MSR and hypercall traffic of a real boot, read from text.
///
/// A line is one exchange, in the order of the boot; `#` begins a comment. Numbers are hexadecimal:
///
/// ```text
/// cpuid <leaf> <subleaf> = <eax> <ebx> <ecx> <edx>
/// rdmsr <index> = <value>, or `fault`
/// wrmsr <index> <value>, and `= fault` if it was refused
/// hypercall <number> <arguments...> = <result>
/// memory <place> <bytes>
/// clock <counter before> <nanoseconds> <counter after>
/// ```
///
/// `memory` is what the host has written, after the last `wrmsr` or `hypercall` above, to a frame that the
/// kernel shares with it. Frames are numbered in the order in which the library has asked for
/// them, so a place, and a value that is an address in a frame, is `frame0+0x80`. Leaves that are not
/// there are zeros. `clock` is a reading of `time.clock_ns` between two of the time-stamp counter.
///
/// `cargo xtask record` makes them by booting the demo kernel of this project.
///
/// ```
/// use pvops_core::testing::Recording;
///
/// let recording: Recording = "cpuid 0x0 0x0 = 0xd 0x68747541 0x444d4163 0x69746e65
///     wrmsr 0x4b564d01 frame0+0x81
///     memory frame0+0x80 0200000000000000"
///     .parse()?;
/// assert_eq!(recording.exchanges().len(), 2);
/// assert!("cpuid 0x0".parse::<Recording>().is_err());
/// # Ok::<(), pvops_core::testing::RecordingError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recording {
    exchanges: Vec<Exchange>,
    clocks: Vec<ClockReading>,
}

impl Recording {
    /// All exchanges, in the order of the boot.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Readings of the clock, in their order.
    pub fn clocks(&self) -> &[ClockReading] {
        &self.clocks
    }

    /// Reads a line; `None` if it is wrong.
    fn add(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        let Some(kind) = words.next() else {
            return Some(());
        };
        let words: Vec<&str> = words.collect();
        let exchange = match (kind, words.as_slice()) {
            ("cpuid", [leaf, subleaf, "=", eax, ebx, ecx, edx]) => Exchange::Cpuid {
                leaf: number(leaf)?,
                subleaf: number(subleaf)?,
                answer: CpuIdResult {
                    eax: number(eax)?,
                    ebx: number(ebx)?,
                    ecx: number(ecx)?,
                    edx: number(edx)?,
                },
            },
            ("rdmsr", [index, "=", "fault"]) => Exchange::ReadMsr {
                index: number(index)?,
                value: None,
            },
            ("rdmsr", [index, "=", value]) => Exchange::ReadMsr {
                index: number(index)?,
                value: Some(number(value)?),
            },
            ("wrmsr", [index, value, refused @ ..]) => Exchange::WriteMsr {
                index: number(index)?,
                value: Word::parse(value)?,
                is_done: match refused {
                    [] => true,
                    ["=", "fault"] => false,
                    _ => return None,
                },
                memory: Vec::new(),
            },
            ("hypercall", [call, arguments @ .., "=", result]) => Exchange::Hypercall {
                number: number(call)?,
                arguments: arguments
                    .iter()
                    .map(|word| Word::parse(word))
                    .collect::<Option<_>>()?,
                result: number(result)?,
                memory: Vec::new(),
            },
            ("memory", [place, bytes]) => {
                let written = HostWrite {
                    place: Word::parse(place).filter(Word::is_in_frame)?,
                    bytes: parse_bytes(bytes)?,
                };
                let memory = self
                    .exchanges
                    .iter_mut()
                    .rev()
                    .find_map(Exchange::memory_mut);
                memory?.push(written);
                return Some(());
            }
            ("clock", [before, clock, after]) => {
                self.clocks.push(ClockReading {
                    tsc_before: number(before)?,
                    clock_ns: number(clock)?,
                    tsc_after: number(after)?,
                });
                return Some(());
            }
            _ => return None,
        };
        self.exchanges.push(exchange);
        Some(())
    }
}

impl core::str::FromStr for Recording {
    type Err = RecordingError;

    fn from_str(text: &str) -> Result<Self, RecordingError> {
        let mut recording = Self::default();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            recording
                .add(content)
                .ok_or(RecordingError { line: number + 1 })?;
        }
        Ok(recording)
    }
}

/// What was said once, and answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)]
pub enum Exchange {
    /// CPUID.
    Cpuid {
        leaf: u32,
        subleaf: u32,
        answer: CpuIdResult,
    },
    /// RDMSR; no value where it raised #GP.
    ReadMsr { index: u32, value: Option<u64> },
    /// WRMSR, not done where it raised #GP.
    WriteMsr {
        index: u32,
        value: Word,
        is_done: bool,
        memory: Vec<HostWrite>,
    },
    /// A hypercall.
    Hypercall {
        number: u64,
        arguments: Vec<Word>,
        result: u64,
        memory: Vec<HostWrite>,
    },
}

impl Exchange {
    fn memory_mut(&mut self) -> Option<&mut Vec<HostWrite>> {
        match self {
            Exchange::WriteMsr { memory, .. } | Exchange::Hypercall { memory, .. } => Some(memory),
            Exchange::Cpuid { .. } | Exchange::ReadMsr { .. } => None,
        }
    }
}

/// What a host has written to a shared frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostWrite {
    /// Where, in a frame.
    pub place: Word,
    /// What.
    pub bytes: Vec<u8>,
}

/// A number, which may be an address in a frame that is elsewhere in each boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// Not in a frame.
    Number(u64),
    /// In a shared frame.
    InFrame {
        /// Which, as the library has asked for them.
        frame: usize,
        /// In bytes from its beginning.
        offset: u64,
    },
}

impl Word {
    /// The number, with the frames at these addresses; `None` if there are not as many.
    pub(super) fn at(self, frames: &[usize]) -> Option<u64> {
        match self {
            Word::Number(number) => Some(number),
            Word::InFrame { frame, offset } => Some(*frames.get(frame)? as u64 + offset),
        }
    }

    fn is_in_frame(&self) -> bool {
        matches!(self, Word::InFrame { .. })
    }

    fn parse(word: &str) -> Option<Self> {
        let Some(place) = word.strip_prefix("frame") else {
            return number(word).map(Word::Number);
        };
        let (frame, offset) = place.split_once('+')?;
        Some(Word::InFrame {
            frame: frame.parse().ok()?,
            offset: number(offset).filter(|&offset: &u64| offset < FRAME)?,
        })
    }
}

/// Bytes of a frame.
const FRAME: u64 = 4096;

/// A reading of the clock, and the time-stamp counter before and after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs)]
pub struct ClockReading {
    pub tsc_before: u64,
    pub clock_ns: u64,
    pub tsc_after: u64,
}

/// A line of a recording says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordingError {
    /// Its number, from 1.
    pub line: usize,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {} of the recording is none", self.line)
    }
}

impl core::error::Error for RecordingError {}

fn number<T: TryFrom<u64>>(word: &str) -> Option<T> {
    let value = u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()?;
    T::try_from(value).ok()
}

fn parse_bytes(word: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = word
        .chars()
        .map(|digit| Some(digit.to_digit(16)? as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
