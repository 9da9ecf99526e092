//! Numbers of a recording.

use core::fmt;

/// A number, which may be of a frame that is elsewhere in each boot. Frames are counted as the library asks
/// for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::testing) enum Word {
    Number(u64),
    /// An address in a shared frame.
    InFrame {
        frame: usize,
        offset: u64,
    },
    /// The number of a shared frame: its address divided by its size.
    FrameNumber {
        frame: usize,
    },
}

/// Bytes of a frame.
pub(in crate::testing) const FRAME: u64 = 4096;

impl Word {
    /// The number, with the frames at these addresses; `None` if there are not as many.
    pub(in crate::testing) fn at(self, frames: &[usize]) -> Option<u64> {
        let address = |frame: usize| Some(*frames.get(frame)? as u64);
        match self {
            Word::Number(number) => Some(number),
            Word::InFrame { frame, offset } => Some(address(frame)? + offset),
            Word::FrameNumber { frame } => Some(address(frame)? / FRAME),
        }
    }

    /// Reads `0x1`, `frame0+0x80` or `frame0/0x1000`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(place) = text.strip_prefix("frame") else {
            return number(text).map(Word::Number);
        };
        if let Some((frame, divisor)) = place.split_once('/') {
            let frame = frame.parse().ok()?;
            return (number(divisor) == Some(FRAME)).then_some(Word::FrameNumber { frame });
        }
        let (frame, offset) = place.split_once('+')?;
        Some(Word::InFrame {
            frame: frame.parse().ok()?,
            offset: number(offset).filter(|&offset: &u64| offset < FRAME)?,
        })
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Number(number) => write!(formatter, "{number:#x}"),
            Word::InFrame { frame, offset } => write!(formatter, "frame{frame}+{offset:#x}"),
            Word::FrameNumber { frame } => write!(formatter, "frame{frame}/{FRAME:#x}"),
        }
    }
}

/// Reads a hexadecimal number.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let value = u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
    T::try_from(value).ok()
}
