//! The kernel waits no longer, and xenstored goes on.

use pvops_backend_xen::XenError;
use pvops_backend_xen::xenstore::{Breach, Error, Transaction};

use super::Lab;
use super::daemon::event;

#[test]
fn an_answer_that_comes_late_is_not_taken_for_another() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    store.write(Transaction::NONE, "a", b"of a").unwrap();
    store.write(Transaction::NONE, "b", b"of b").unwrap();
    daemon.borrow_mut().is_asleep = true;
    for _ in 0..3 {
        assert_eq!(store.read(Transaction::NONE, "a"), Err(Error::GaveUp));
    }
    daemon.borrow_mut().is_asleep = false;
    assert_eq!(store.read(Transaction::NONE, "b"), Ok(&b"of b"[..]));
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&b"of a"[..]));
}

#[test]
fn an_answer_that_comes_late_may_come_while_events_are_asked_for() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    daemon.borrow_mut().is_asleep = true;
    assert_eq!(store.watch("a", "t"), Err(Error::GaveUp));
    daemon.borrow_mut().is_asleep = false;
    assert_eq!(store.wait_for_event().unwrap().token, "t");
    assert_eq!(store.wait_for_event(), Err(Error::GaveUp));
    store.write(Transaction::NONE, "b", b"").unwrap();
}

#[test]
fn who_gives_up_in_the_middle_of_an_answer_goes_on_there() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    let value = vec![5; 4000];
    store.write(Transaction::NONE, "long", &value).unwrap();
    store.write(Transaction::NONE, "short", b"short").unwrap();
    // The daemon falls asleep on the first piece of the answer.
    daemon.borrow_mut().patience = 1;
    let mut outcomes = Vec::new();
    for patience in [1, 0, 1, 0, 64] {
        daemon.borrow_mut().patience = patience;
        outcomes.push(store.read(Transaction::NONE, "long").map(<[u8]>::to_vec));
        assert!(matches!(outcomes.last(), Some(Ok(_) | Err(Error::GaveUp))));
    }
    assert!(outcomes.contains(&Err(Error::GaveUp)));
    assert_eq!(outcomes.last(), Some(&Ok(value)));
    assert_eq!(store.read(Transaction::NONE, "short"), Ok(&b"short"[..]));
}

#[test]
fn a_request_that_is_sent_in_part_breaks_the_connection() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    daemon.borrow_mut().is_asleep = true;
    let value = vec![1; 2000];
    let broken = Err(Error::Broken(Breach::CutShort));
    assert_eq!(store.write(Transaction::NONE, "a", &value), broken);
    assert_eq!(store.reconnect(), Err(Error::GaveUp));
    assert_eq!(store.write(Transaction::NONE, "a", &value), broken);
    daemon.borrow_mut().is_asleep = false;
    store.reconnect().unwrap();
    let missing = Err(Error::Refused(XenError::NOT_FOUND));
    assert_eq!(store.read(Transaction::NONE, "a"), missing);
    store.write(Transaction::NONE, "a", &value).unwrap();
}

#[test]
fn a_request_of_which_nothing_was_sent_breaks_nothing() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    daemon.borrow_mut().is_asleep = true;
    // 16 + 240 bytes, four times, fill the ring.
    let value = [0; 240 - 2];
    for _ in 0..4 {
        let result = store.write(Transaction::NONE, "a", &value);
        assert_eq!(result, Err(Error::GaveUp));
    }
    assert_eq!(store.read(Transaction::NONE, "a"), Err(Error::GaveUp));
    daemon.borrow_mut().is_asleep = false;
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&value[..]));
}

/// xenstored takes no requests while nobody reads what it says; so who sends must read.
#[test]
fn events_that_fill_the_ring_do_not_stop_requests() {
    let mut lab = Lab::with(1, 0, 1 << 16);
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    for _ in 0..300 {
        daemon.borrow_mut().say(&event("some/path", "token"));
    }
    let value = vec![3; 4000];
    store.write(Transaction::NONE, "a", &value).unwrap();
    let mut events = 0;
    while store.next_event().unwrap().is_some() {
        events += 1;
    }
    assert_eq!(events, 300);
    assert_eq!(daemon.borrow().value("a"), Some(&value[..]));
}
