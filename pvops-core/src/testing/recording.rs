//! What a kernel and its host have said to each other in a real boot.

mod exchange;
mod word;

use std::fmt;
use std::vec::Vec;

use crate::probe::CpuIdResult;

pub(super) use exchange::{Argument, Exchange, HostWrite, Place, Told, Value, What};
use word::number;
pub(super) use word::{FRAME, Word};

/// The CPUID, MSR and hypercall traffic of a real boot, read from text.
///
/// A line is one exchange, in the order of the boot; `#` begins a comment. Numbers are hexadecimal:
///
/// ```text
/// cpuid <leaf> <subleaf> = <eax> <ebx> <ecx> <edx>
/// rdtsc = <value>
/// rdmsr <index> = <value>, or `fault`
/// wrmsr <index> <value>, and `= fault` if it was refused
/// hypercall <number> <register>=<argument>... = <result>
/// memory <place> <bytes>
/// clock <counter before> <nanoseconds> <counter after>
/// ```
///
/// Frames that the kernel shares with its host are numbered, in decimal, in the order in which the library
/// has asked for them, as they are elsewhere in each boot: a value that is an address in one is
/// `frame0+0x80`, and one that is a frame's number `frame0/0x1000`. An argument may also lead to a
/// structure in memory, whose words of eight bytes follow: `rsi=&0x0,frame1/0x1000`.
///
/// `memory` is what the host has written because of the last `wrmsr` or `hypercall` above: to a place in a
/// shared frame, `frame0+0x80`, or in the structure of an argument, `rsi+0x8`. CPUID leaves that are not
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
/// assert_eq!(recording.exchange_count(), 2);
/// assert!("cpuid 0x0".parse::<Recording>().is_err());
/// # Ok::<(), pvops_core::testing::RecordingError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recording {
    exchanges: Vec<Exchange>,
    clocks: Vec<ClockReading>,
}

impl Recording {
    /// How many times something was asked or told.
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// All of that, in the order of the boot.
    pub(super) fn exchanges(&self) -> &[Exchange] {
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
            ("rdtsc", ["=", value]) => Exchange::ReadTsc(number(value)?),
            ("rdmsr", [index, "=", "fault"]) => Exchange::ReadMsr {
                index: number(index)?,
                value: None,
            },
            ("rdmsr", [index, "=", value]) => Exchange::ReadMsr {
                index: number(index)?,
                value: Some(number(value)?),
            },
            ("wrmsr", [index, value, refused @ ..]) => {
                let what = What::WriteMsr {
                    index: number(index)?,
                    value: Word::parse(value)?,
                    is_done: match refused {
                        [] => true,
                        ["=", "fault"] => false,
                        _ => return None,
                    },
                };
                Exchange::Told(Told::new(what))
            }
            ("hypercall", [call, arguments @ .., "=", result]) => {
                let arguments = arguments.iter().map(|text| Argument::parse(text));
                let what = What::Hypercall {
                    number: number(call)?,
                    arguments: arguments.collect::<Option<_>>()?,
                    result: number(result)?,
                };
                Exchange::Told(Told::new(what))
            }
            ("memory", [place, bytes]) => {
                let last = self.exchanges.iter_mut().rev().find_map(Exchange::told_mut);
                last?.memory.push(HostWrite {
                    place: Place::parse(place)?,
                    bytes: parse_bytes(bytes)?,
                });
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

/// A reading of the clock, and the time-stamp counter before and after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockReading {
    /// The counter before the reading, in ticks.
    pub tsc_before: u64,
    /// What `time.clock_ns` gave, in nanoseconds.
    pub clock_ns: u64,
    /// The counter after the reading, in ticks.
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
        write!(
            formatter,
            "line {} of the recording can't be read",
            self.line
        )
    }
}

impl core::error::Error for RecordingError {}

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
