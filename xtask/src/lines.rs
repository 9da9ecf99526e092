//! Lines from a guest, none longer than a bound.
//!
//! A guest that never ends its line must not fill the memory of the host.

use std::io::{self, BufRead};

/// Longest line in bytes, without its end.
pub(crate) const MAX_LINE_LENGTH: usize = 64 * 1024;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// The line went on after `bytes`; the rest is dropped.
    pub(crate) overlong: bool,
}

/// Reads to the next line end, or to the end of input; `None` when nothing is left.
pub(crate) fn read_line(reader: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Line {
        bytes: Vec::new(),
        overlong: false,
    };
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let line_end = available.iter().position(|&byte| byte == b'\n');
        let content = &available[..line_end.unwrap_or(available.len())];
        let room = MAX_LINE_LENGTH - line.bytes.len();
        line.overlong |= content.len() > room;
        line.bytes.extend(&content[..content.len().min(room)]);
        let consumed = content.len() + usize::from(line_end.is_some());
        reader.consume(consumed);
        if line_end.is_some() {
            while line.bytes.last() == Some(&b'\r') {
                line.bytes.pop();
            }
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(input: &[u8], buffer: usize) -> Vec<(Vec<u8>, bool)> {
        let mut reader = BufReader::with_capacity(buffer, input);
        std::iter::from_fn(|| read_line(&mut reader).unwrap())
            .map(|line| (line.bytes, line.overlong))
            .collect()
    }

    #[test]
    fn line_ends_are_removed_and_the_last_line_needs_none() {
        for buffer in [1, 3, 100] {
            assert_eq!(
                lines(b"one\r\n\n@{}\nlast", buffer),
                [
                    (b"one".to_vec(), false),
                    (b"".to_vec(), false),
                    (b"@{}".to_vec(), false),
                    (b"last".to_vec(), false)
                ]
            );
        }
        assert_eq!(lines(b"", 10), []);
    }

    #[test]
    fn the_bound_cuts_a_line_but_not_the_next_one() {
        let mut input = vec![b'a'; MAX_LINE_LENGTH];
        assert_eq!(lines(&input, 4096), [(input.clone(), false)]);
        input.extend(b"b\nnext\n");
        assert_eq!(
            lines(&input, 4096),
            [
                (vec![b'a'; MAX_LINE_LENGTH], true),
                (b"next".to_vec(), false)
            ]
        );
    }
}
