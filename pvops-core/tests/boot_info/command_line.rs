//! Command lines of every length and content.

use pvops_core::boot_info::command_line::MAX_LENGTH_BYTES;
use pvops_core::boot_info::{BootInfo, BootInfoError, CommandLine};

use super::support::*;

/// What a kernel gets when memory holds `bytes` where its command line should be.
fn from_pvh(bytes: &[u8]) -> Result<(Vec<u8>, bool), BootInfoError> {
    let start = StartInfo {
        command_line: COMMAND_LINE,
        ..StartInfo::VERSION_1
    };
    let memory = Memory::default()
        .with(START_INFO, start.bytes())
        .with(COMMAND_LINE, bytes);
    let line = BootInfo::from_pvh(&memory, START_INFO)?.command_line();
    assert_eq!(line, CommandLine::new(bytes));
    Ok((line.as_bytes().to_vec(), line.is_truncated()))
}

/// `length` bytes of six-letter words.
fn line_of(length: usize) -> Vec<u8> {
    b"abcde ".iter().copied().cycle().take(length).collect()
}

#[test]
fn lengths_around_the_limit() {
    for length in [1, 4095, MAX_LENGTH_BYTES] {
        let line = line_of(length);
        assert_eq!(from_pvh(&line), Ok((line.clone(), false)));
        let terminated = [&line[..], b"\0after"].concat();
        assert_eq!(from_pvh(&terminated), Ok((line, false)));
    }
    // 4096 is 682 words of six bytes and "abcd": the word is cut, and left out.
    let whole_words = line_of(682 * 6 - 1);
    for length in [4097, 4098, 10_000] {
        let line = line_of(length);
        assert_eq!(from_pvh(&line), Ok((whole_words.clone(), true)));
        let terminated = [&line[..], b"\0"].concat();
        assert_eq!(from_pvh(&terminated), Ok((whole_words.clone(), true)));
    }
}

#[test]
fn the_limit_between_two_words() {
    let line = [&[b'x'; MAX_LENGTH_BYTES][..], b" y"].concat();
    let kept = vec![b'x'; MAX_LENGTH_BYTES];
    assert_eq!(from_pvh(&line), Ok((kept, true)));
}

#[test]
fn one_endless_word() {
    assert_eq!(from_pvh(&[b'x'; 9000]), Ok((vec![], true)));
}

#[test]
fn empty_lines() {
    assert_eq!(from_pvh(b"\0pv=native"), Ok((vec![], false)));
    let empty = CommandLine::new(b"");
    assert_eq!(empty.words().next(), None);
    assert_eq!(empty.value("pv"), None);
    assert!(!empty.flag(""));
    assert!(!empty.is_truncated());
    // A line that is announced but is not there at all is an error, not an empty line.
    let error = BootInfoError::Unreadable {
        what: "command line",
        address: COMMAND_LINE,
    };
    assert_eq!(from_pvh(b""), Err(error));
}

#[test]
fn words_are_split_at_all_white_space() {
    let line = CommandLine::new(b" \t a=1\r\nquiet   b=\x0cc ");
    let words: Vec<_> = line.words().collect();
    assert_eq!(words, [&b"a=1"[..], b"quiet", b"b=", b"c"]);
}

#[test]
fn values_and_flags() {
    let line = CommandLine::new(b"pv=kvm selftest pv=native only= xpv=no pvx=no a=b=c");
    assert_eq!(line.value("pv"), Some("native"));
    assert_eq!(line.value("only"), Some(""));
    assert_eq!(line.value("a"), Some("b=c"));
    assert_eq!(line.value("selftest"), None);
    assert_eq!(line.value("p"), None);
    assert!(line.flag("selftest"));
    assert!(!line.flag("self"));
    assert!(!line.flag("selftests"));
    assert!(!line.flag("pv"));
}

#[test]
fn not_utf8() {
    let line = CommandLine::new(b"pv=native pv=\xff\xfe \xc3( quiet");
    assert_eq!(line.value("pv"), Some("native"));
    assert!(line.flag("quiet"));
    assert_eq!(line.words().count(), 4);
    assert_eq!(
        line.to_string(),
        "pv=native pv=\u{fffd}\u{fffd} \u{fffd}( quiet"
    );
}
