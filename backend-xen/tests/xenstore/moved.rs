//! The domain moves, to a xenstored that knows nothing of it.

use std::sync::atomic::Ordering;

use pvops_backend_xen::XenError;
use pvops_backend_xen::xenstore::{Breach, Error, Transaction};

use super::Lab;
use super::daemon::{Handle, RESPONSES_PRODUCED};

#[test]
fn the_watches_are_set_and_the_transactions_are_gone() {
    let (mut old, new) = (Lab::new(), Lab::with(2, 77, 8192));
    let mut store = old.connect().unwrap();
    store.write(Transaction::NONE, "a", b"old").unwrap();
    store.watch("a", "of before").unwrap();
    let transaction = store.start_transaction().unwrap();

    let events = Handle(new.daemon.clone());
    // SAFETY: the page lives as long as the test.
    unsafe { store.resume(new.page.pointer(), events, [("b", "one"), ("c", "two")]) }.unwrap();
    let watches = new.daemon.borrow().watches.clone();
    assert_eq!(watches.len(), 2);
    let mut tokens = Vec::new();
    while let Some(event) = store.next_event().unwrap() {
        tokens.push(event.token.to_string());
    }
    assert_eq!(tokens, ["one", "two"]);
    let gone = Err(Error::Refused(XenError::NOT_FOUND));
    assert_eq!(store.read(Transaction::NONE, "a"), gone);
    assert_eq!(store.read(transaction, "a"), gone);
    store.write(Transaction::NONE, "b", b"new").unwrap();
    assert_eq!(store.wait_for_event().unwrap().token, "one");
}

#[test]
fn a_connection_that_was_broken_is_good_and_one_to_nobody_is_broken() {
    let (mut old, new) = (Lab::new(), Lab::with(2, 77, 8192));
    let page = old.page.clone();
    let mut store = old.connect().unwrap();
    page.word(RESPONSES_PRODUCED)
        .store(1 << 20, Ordering::Relaxed);
    let broken = store.write(Transaction::NONE, "a", b"value");
    assert_eq!(broken, Err(Error::Broken(Breach::BadIndex)));

    let handle = || Handle(new.daemon.clone());
    // SAFETY: as above.
    unsafe { store.resume(new.page.pointer(), handle(), []) }.unwrap();
    store.write(Transaction::NONE, "a", b"value").unwrap();

    new.daemon.borrow_mut().is_asleep = true;
    // SAFETY: as above.
    let nobody = unsafe { store.resume(new.page.pointer(), handle(), [("a", "t")]) };
    assert_eq!(nobody, Err(Error::GaveUp));
}
