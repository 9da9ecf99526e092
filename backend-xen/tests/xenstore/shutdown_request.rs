//! What the toolstack writes to control/shutdown.

use std::rc::Rc;

use pvops_backend_xen::XenError;
use pvops_backend_xen::shutdown_request::{self, PATH, ShutdownRequest};
use pvops_backend_xen::xenstore::{Error, Transaction};

use super::Lab;

#[test]
fn a_known_request_is_taken_once_and_acknowledged() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    assert_eq!(shutdown_request::take(&mut store), Ok(None));
    assert_eq!(daemon.borrow().value(PATH), None);
    store.watch(PATH, "shutdown").unwrap();
    for (text, request) in [
        (&b"poweroff"[..], ShutdownRequest::POWER_OFF),
        (b"reboot", ShutdownRequest::REBOOT),
        (b"halt", ShutdownRequest::HALT),
        (b"suspend", ShutdownRequest::SUSPEND),
    ] {
        daemon.borrow_mut().set(PATH, text);
        assert_eq!(store.wait_for_event().unwrap().path, PATH);
        assert_eq!(shutdown_request::take(&mut store), Ok(Some(request)));
        assert_eq!(daemon.borrow().value(PATH), Some(&b""[..]));
        assert_eq!(shutdown_request::take(&mut store), Ok(None));
        assert_eq!(request.as_bytes(), text);
    }
    assert!(daemon.borrow().has_no_transaction());
}

#[test]
fn an_unknown_request_is_kept_as_text_and_not_acknowledged() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    let long = [b'x'; 100];
    for text in [&b"crash"[..], b"poweroff\0", b"Reboot", b"\xff", &long] {
        daemon.borrow_mut().set(PATH, text);
        let request = shutdown_request::take(&mut store).unwrap().unwrap();
        assert!(!request.is_known());
        assert_eq!(request.as_bytes(), &text[..text.len().min(32)]);
        assert_eq!(daemon.borrow().value(PATH), Some(text));
    }
    assert!(daemon.borrow().has_no_transaction());
}

#[test]
fn a_text_that_begins_like_a_request_is_none() {
    let long = [b"poweroff".as_slice(), &[0; 24]].concat();
    for text in [&long[..], &[long.clone(), vec![0; 8]].concat(), b"power"] {
        let request = ShutdownRequest::parse(text).unwrap();
        assert!(!request.is_known(), "{request}");
    }
}

/// The toolstack writes again between the kernel's look and its answer.
#[test]
fn a_change_of_mind_is_seen() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    for (changes, expected) in [
        (3, Ok(Some(ShutdownRequest::REBOOT))),
        (u32::MAX, Err(Error::Refused(XenError::TRY_AGAIN))),
    ] {
        daemon.borrow_mut().change_on_read = None;
        store.write(Transaction::NONE, PATH, b"halt").unwrap();
        let changes_left = Rc::new(std::cell::Cell::new(changes));
        // An answer to a READ goes out: the next change is made then.
        daemon.borrow_mut().change_on_read = Some(Box::new(move || {
            let left = changes_left.get();
            changes_left.set(left.saturating_sub(1));
            (left > 0).then(|| (PATH.to_owned(), b"reboot".to_vec()))
        }));
        assert_eq!(shutdown_request::take(&mut store), expected);
    }
}
