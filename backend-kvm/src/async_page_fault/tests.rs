//! What a host may write, replayed.

use super::*;

fn record(flags: u32, token: u32) -> Record {
    Record {
        flags: AtomicU32::new(flags),
        token: AtomicU32::new(token),
        reserved: [const { AtomicU8::new(!0) }; 56],
    }
}

fn held(record: &Record) -> (u32, u32) {
    let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
    (load(&record.flags), load(&record.token))
}

#[test]
fn an_ordinary_fault_is_not_taken() {
    let (record, tokens) = (record(0, 0), Mutex::new(Tokens::new()));
    assert_eq!(record.take_fault(0x1000, &tokens), None);
    assert!(!tokens.lock().is_outstanding(Token(0x1000)));
}

#[test]
fn a_fault_is_taken_once_and_ends_with_its_token() {
    let (record, tokens) = (record(NOT_PRESENT, 0), Mutex::new(Tokens::new()));
    assert_eq!(record.take_fault(0x1001, &tokens), Some(Token(0x1001)));
    assert_eq!(held(&record), (0, 0));
    assert_eq!(record.take_fault(0x1001, &tokens), None);
    assert!(tokens.lock().is_outstanding(Token(0x1001)));

    record.token.store(0x1001, Ordering::Relaxed);
    assert_eq!(record.take_ready(&tokens), Some(Token(0x1001)));
    assert_eq!(held(&record), (0, 0));
    assert_eq!(record.take_ready(&tokens), None);
    assert!(!tokens.lock().is_outstanding(Token(0x1001)));
}

#[test]
fn faults_and_pages_in_any_order_leave_nobody_waiting() {
    let (record, tokens) = (record(0, 0), Mutex::new(Tokens::new()));
    for cr2 in [0x1000, 0x2000] {
        record.flags.store(NOT_PRESENT, Ordering::Relaxed);
        record.take_fault(cr2, &tokens);
    }
    // The last page is there before its fault.
    for token in [0x2000, 0x3000, 0x1000] {
        record.token.store(token, Ordering::Relaxed);
        record.take_ready(&tokens);
    }
    record.flags.store(NOT_PRESENT, Ordering::Relaxed);
    assert_eq!(record.take_fault(0x3000, &tokens), Some(Token(0x3000)));
    for token in [0x1000, 0x2000, 0x3000] {
        assert!(!tokens.lock().is_outstanding(Token(token)), "{token:#x}");
    }
}

#[test]
fn unknown_flags_are_cleared_and_make_no_fault() {
    for flags in [1 << 1, 1 << 31, !NOT_PRESENT] {
        let (record, tokens) = (record(flags, 0), Mutex::new(Tokens::new()));
        assert_eq!(record.take_fault(0x1000, &tokens), None, "{flags:#x}");
        assert_eq!(held(&record), (0, 0));
        assert!(!tokens.lock().is_outstanding(Token(0x1000)));
    }
    let (record, tokens) = (record(u32::MAX, 0), Mutex::new(Tokens::new()));
    assert_eq!(record.take_fault(0x1000, &tokens), Some(Token(0x1000)));
}

#[test]
fn the_upper_half_of_cr2_is_no_part_of_a_token() {
    let (record, tokens) = (record(NOT_PRESENT, 0), Mutex::new(Tokens::new()));
    let taken = record.take_fault(0xffff_8000_0000_1000_u64 as usize, &tokens);
    assert_eq!(taken, Some(Token(0x1000)));
}

#[test]
fn all_are_woken_by_one_token() {
    let (record, tokens) = (record(0, 0), Mutex::new(Tokens::new()));
    for cr2 in [0x1000, 0x2000] {
        record.flags.store(NOT_PRESENT, Ordering::Relaxed);
        record.take_fault(cr2, &tokens);
    }
    record.token.store(u32::MAX, Ordering::Relaxed);
    assert_eq!(record.take_ready(&tokens), Some(Token::ALL));
    for token in [0x1000, 0x2000] {
        assert!(!tokens.lock().is_outstanding(Token(token)), "{token:#x}");
    }
}

#[test]
fn where_the_feature_is_off_there_is_nothing_to_take() {
    assert_eq!(take_fault(0x1000), None);
    assert_eq!(handle_ready(), None);
}
