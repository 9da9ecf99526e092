//! xenstored lies.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use pvops_backend_xen::XenError;
use pvops_backend_xen::xenstore::{Breach, Error, Transaction};

use super::daemon::{ERROR, FEATURES, Message, REQUESTS_CONSUMED, RESPONSES_PRODUCED, event};
use super::{Lab, cases};

/// The connection is broken until it is made anew, and good then.
#[track_caller]
fn assert_broken(lab: &mut Lab, breach: Breach) {
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    let broken = Err(Error::Broken(breach));
    assert_eq!(store.write(Transaction::NONE, "a", b"value"), broken);
    daemon.borrow_mut().lie = None;
    daemon.borrow_mut().flood = None;
    let waits = daemon.borrow().waits;
    assert_eq!(store.write(Transaction::NONE, "a", b"value"), broken);
    assert_eq!(store.next_event().map(|_| ()), broken);
    assert_eq!(daemon.borrow().waits, waits);

    daemon.borrow().page.word(ERROR).store(0, Ordering::Relaxed);
    store.reconnect().unwrap();
    store.write(Transaction::NONE, "a", b"new").unwrap();
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&b"new"[..]));
}

fn lying(lie: impl FnMut(&mut Message) + 'static) -> Lab {
    let lab = Lab::new();
    lab.daemon.borrow_mut().lie = Some(Box::new(lie));
    lab
}

#[test]
fn an_answer_to_nothing_breaks_the_connection() {
    let mut lab = lying(|answer| answer.request += 1);
    assert_broken(&mut lab, Breach::UnexpectedMessage);
}

#[test]
fn an_answer_of_another_type_breaks_the_connection() {
    let mut lab = lying(|answer| answer.kind = 2);
    assert_broken(&mut lab, Breach::UnexpectedMessage);
    let mut lab = lying(|answer| answer.kind = 0xffff);
    assert_broken(&mut lab, Breach::UnexpectedMessage);
}

#[test]
fn a_message_that_is_too_long_breaks_the_connection() {
    for length in [4097, u32::MAX] {
        let mut lab = lying(move |answer| answer.length = Some(length));
        assert_broken(&mut lab, Breach::TooLong);
    }
}

#[test]
fn an_index_that_makes_no_sense_breaks_the_connection() {
    for offset in [REQUESTS_CONSUMED, RESPONSES_PRODUCED] {
        let mut lab = Lab::new();
        let (daemon, page) = (lab.daemon.clone(), lab.page.clone());
        let mut store = lab.connect().unwrap();
        page.word(offset).store(1 << 20, Ordering::Relaxed);
        daemon.borrow_mut().is_asleep = true;
        let broken = Err(Error::Broken(Breach::BadIndex));
        assert_eq!(store.write(Transaction::NONE, "a", b""), broken);
        daemon.borrow_mut().is_asleep = false;
        store.reconnect().unwrap();
        store.write(Transaction::NONE, "a", b"").unwrap();
    }
}

#[test]
fn the_servers_own_word_that_it_ended_is_heard() {
    let mut lab = Lab::new();
    lab.page.word(ERROR).store(3, Ordering::Relaxed);
    assert_broken(&mut lab, Breach::EndedByServer(3));
}

#[test]
fn an_error_word_of_a_server_that_has_none_means_nothing() {
    let mut lab = Lab::new();
    lab.page.word(FEATURES).store(0, Ordering::Relaxed);
    lab.page.word(ERROR).store(3, Ordering::Relaxed);
    let mut store = lab.connect().unwrap();
    store.write(Transaction::NONE, "a", b"").unwrap();
    assert_eq!(store.reconnect(), Err(Error::NoReconnection));
    store.write(Transaction::NONE, "a", b"").unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "65536 messages")]
fn events_without_end_break_the_connection() {
    let mut lab = Lab::new();
    lab.daemon.borrow_mut().flood = Some(event("a", "t"));
    assert_broken(&mut lab, Breach::Flood);
}

#[test]
fn contents_that_make_no_sense_are_errors_of_that_request() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    store.write(Transaction::NONE, "a", b"value").unwrap();
    for payload in [&b"no end"[..], b"\xff\0"] {
        daemon.borrow_mut().lie = Some(Box::new(|answer| answer.payload = payload.into()));
        let names = store.directory(Transaction::NONE, "a").map(|_| ());
        assert_eq!(names, Err(Error::Malformed));
    }
    for payload in [
        &b"n0"[..],
        b"",
        b"\0",
        b"n\0",
        b"n65536\0",
        b"\xc3\xa40\0",
        b"n0\0r-1\0",
    ] {
        daemon.borrow_mut().lie = Some(Box::new(|answer| answer.payload = payload.into()));
        let permissions = store.permissions(Transaction::NONE, "a").map(|_| ());
        assert_eq!(permissions, Err(Error::Malformed), "{payload:?}");
    }
    for payload in [
        &b"1"[..],
        b"",
        b"0\0",
        b"4294967296\0",
        b"1\x001\0",
        b"-1\0",
    ] {
        daemon.borrow_mut().lie = Some(Box::new(|answer| answer.payload = payload.into()));
        assert_eq!(
            store.start_transaction(),
            Err(Error::Malformed),
            "{payload:?}"
        );
    }
    for (payload, error) in [
        (&b"ENOENT"[..], Error::Malformed),
        (b"", Error::Malformed),
        (b"ENOENT\0EIO\0", Error::Malformed),
        (b"ENEW\0", Error::RefusedForUnknownReason),
        (b"EROFS\0", Error::Refused(XenError::READ_ONLY)),
    ] {
        daemon.borrow_mut().lie = Some(Box::new(move |answer| {
            answer.kind = 16;
            answer.payload = payload.into();
        }));
        assert_eq!(
            store.read(Transaction::NONE, "a"),
            Err(error),
            "{payload:?}"
        );
    }
    daemon.borrow_mut().lie = None;
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&b"value"[..]));
}

#[test]
fn an_event_that_makes_no_sense_is_told_as_a_loss() {
    for payload in [
        &b"path\0"[..],
        b"path\0token",
        b"",
        b"a\0b\0c\0",
        b"\xff\0t\0",
    ] {
        let mut lab = Lab::new();
        let daemon = lab.daemon.clone();
        let mut store = lab.connect().unwrap();
        daemon.borrow_mut().say(&Message {
            payload: payload.into(),
            ..event("", "")
        });
        daemon.borrow_mut().say(&event("a", "t"));
        assert_eq!(store.wait_for_event(), Err(Error::EventsLost));
        assert_eq!(store.wait_for_event().unwrap().path, "a");
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// Whatever is in the page: an end, and no panic.
    #[test]
    fn any_bytes_and_indexes_come_to_an_end(
        seed: u64,
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..20_u8, any::<u8>()], 0..if cfg!(miri) { 100 } else { 3000 }),
        request in 0..3_u32,
        index in prop::option::weighted(0.2, any::<u32>()),
    ) {
        let mut lab = Lab::with(seed, 0, 100);
        let (daemon, page) = (lab.daemon.clone(), lab.page.clone());
        let mut store = lab.connect().unwrap();
        for chunk in bytes.chunks(64) {
            let (header, payload) = chunk.split_at(chunk.len().min(3));
            daemon.borrow_mut().say(&Message {
                kind: header[0].into(),
                request,
                transaction: 0,
                length: header.get(1).map(|&length| length.into()),
                payload: payload.into(),
            });
        }
        let mut results = Vec::new();
        for _ in 0..4 {
            results.push(store.read(Transaction::NONE, "a").map(|_| ()));
            results.push(store.next_event().map(|_| ()));
            if let Some(index) = index {
                daemon.borrow_mut().is_asleep = true;
                page.word(RESPONSES_PRODUCED).store(index, Ordering::Relaxed);
            }
        }
        // Once broken, it stays so.
        let first = results.iter().position(|result| matches!(result, Err(Error::Broken(_))));
        if let Some(first) = first {
            prop_assert!(results[first..].iter().all(|result| *result == results[first]));
        }
    }
}
