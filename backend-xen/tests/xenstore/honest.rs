//! xenstored does what it should, in whatever pieces.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pvops_backend_xen::xenstore::{
    Access, Error, PERMISSIONS_MAX, Permission, Transaction, WatchEvent,
};
use pvops_backend_xen::{DomainId, XenError};

use super::daemon::{CONNECTION, REQUESTS_PRODUCED, RESPONSES_CONSUMED, RESPONSES_PRODUCED};
use super::{Lab, cases};

#[derive(Clone, Debug)]
enum Step {
    Write(String, Vec<u8>),
    Read(String),
    Directory(String),
    Make(String),
    Remove(String),
    TakeEvents,
}

fn node() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "device", "0"]), 1..4)
        .prop_map(|parts| format!("/w/{}", parts.join("/")))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (
            node(),
            prop::collection::vec(any::<u8>(), 0..if cfg!(miri) { 100 } else { 2000 })
        )
            .prop_map(|(node, value)| Step::Write(node, value)),
        node().prop_map(Step::Read),
        node().prop_map(Step::Directory),
        node().prop_map(Step::Make),
        node().prop_map(Step::Remove),
        Just(Step::TakeEvents),
    ]
}

/// What the tree should be.
#[derive(Default)]
struct Expected(BTreeMap<String, Vec<u8>>);

impl Expected {
    fn make(&mut self, node: &str) {
        for (at, _) in node.match_indices('/').skip(1) {
            self.0.entry(node[..at].into()).or_default();
        }
        self.0.entry(node.into()).or_default();
    }

    fn children(&self, node: &str) -> Vec<String> {
        let prefix = format!("{node}/");
        let below = self.0.keys().filter_map(|key| key.strip_prefix(&prefix));
        below
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect()
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// Every answer is right, and as many events come as were sent, or the loss is told.
    #[test]
    fn answers_and_events_arrive_in_whatever_pieces(
        seed: u64,
        start in prop_oneof![any::<u32>(), u32::MAX - 3000..=u32::MAX],
        queue in prop_oneof![Just(0), Just(60), Just(1 << 16)],
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 8 } else { 40 }),
    ) {
        let mut lab = Lab::with(seed, start, queue);
        let daemon = lab.daemon.clone();
        let mut store = lab.connect().unwrap();
        let mut expected = Expected::default();
        let (mut events, mut losses) = (0, 0);
        store.watch("/w", "token").unwrap();
        for step in steps {
            match step {
                Step::Write(node, value) => {
                    store.write(Transaction::NONE, &node, &value).unwrap();
                    expected.make(&node);
                    expected.0.insert(node, value);
                }
                Step::Read(node) => {
                    let answer = store.read(Transaction::NONE, &node);
                    let value = expected.0.get(&node).map(|value| &value[..]);
                    prop_assert_eq!(answer, value.ok_or(Error::Refused(XenError::NOT_FOUND)));
                }
                Step::Directory(node) => match store.directory(Transaction::NONE, &node) {
                    Ok(names) => {
                        prop_assert!(expected.0.contains_key(&node));
                        prop_assert_eq!(names.collect::<Vec<_>>(), expected.children(&node));
                    }
                    Err(error) => {
                        prop_assert!(!expected.0.contains_key(&node));
                        prop_assert_eq!(error, Error::Refused(XenError::NOT_FOUND));
                    }
                },
                Step::Make(node) => {
                    store.make_directory(Transaction::NONE, &node).unwrap();
                    expected.make(&node);
                }
                Step::Remove(node) => {
                    store.remove(Transaction::NONE, &node).unwrap();
                    // The model makes the parents of what it removes.
                    expected.make(&node);
                    let below = format!("{node}/");
                    expected.0.retain(|key, _| *key != node && !key.starts_with(&below));
                }
                Step::TakeEvents => take_events(&mut store, &mut events, &mut losses)?,
            }
        }
        while let Ok(event) = store.wait_for_event().inspect_err(|&error| {
            losses += usize::from(error == Error::EventsLost);
        }) {
            prop_assert_eq!(event.token, "token");
            events += 1;
        }
        // A loss ends the loop above.
        take_events(&mut store, &mut events, &mut losses)?;
        let sent = daemon.borrow().events_sent;
        if losses == 0 {
            prop_assert_eq!(events, sent);
        } else {
            prop_assert!(queue < 1 << 16 && events < sent);
        }
    }
}

fn take_events(
    store: &mut pvops_backend_xen::xenstore::Xenstore<'_, super::Handle>,
    events: &mut usize,
    losses: &mut usize,
) -> Result<(), TestCaseError> {
    loop {
        match store.next_event() {
            Ok(Some(event)) => {
                prop_assert!(event.path.starts_with("/w"));
                prop_assert_eq!(event.token, "token");
                *events += 1;
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                prop_assert_eq!(error, Error::EventsLost);
                *losses += 1;
            }
        }
    }
}

#[test]
fn a_watch_tells_at_once_and_then_of_changes_until_it_is_ended() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    store.watch("control/shutdown", "s").unwrap();
    let event = WatchEvent {
        path: "control/shutdown",
        token: "s",
    };
    assert_eq!(store.wait_for_event(), Ok(event));
    assert_eq!(store.next_event(), Ok(None));
    daemon.borrow_mut().set("control/shutdown", b"reboot");
    assert_eq!(store.wait_for_event(), Ok(event));
    assert_eq!(
        store.watch("control/shutdown", "s"),
        Err(Error::Refused(XenError::EXISTS))
    );
    store.unwatch("control/shutdown", "s").unwrap();
    daemon.borrow_mut().set("control/shutdown", b"");
    assert_eq!(store.wait_for_event(), Err(Error::GaveUp));
}

#[test]
fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();

    let transaction = store.start_transaction().unwrap();
    assert_ne!(transaction, Transaction::NONE);
    store.write(transaction, "a", b"1").unwrap();
    assert_eq!(store.read(transaction, "a"), Ok(&b"1"[..]));
    assert_eq!(
        store.read(Transaction::NONE, "a"),
        Err(Error::Refused(XenError::NOT_FOUND))
    );
    store.commit(transaction).unwrap();
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&b"1"[..]));

    let transaction = store.start_transaction().unwrap();
    store.write(transaction, "a", b"2").unwrap();
    store.abort(transaction).unwrap();
    assert_eq!(daemon.borrow().value("a"), Some(&b"1"[..]));

    let transaction = store.start_transaction().unwrap();
    store.write(transaction, "a", b"3").unwrap();
    daemon.borrow_mut().set("b", b"");
    let again = Err(Error::Refused(XenError::TRY_AGAIN));
    assert_eq!(store.commit(transaction), again);
    assert_eq!(daemon.borrow().value("a"), Some(&b"1"[..]));
}

#[test]
fn permissions_come_back_as_they_were_set() {
    let mut lab = Lab::new();
    let mut store = lab.connect().unwrap();
    let permission = |access, domain| Permission {
        access,
        domain: DomainId(domain),
    };
    let permissions: Vec<_> = [
        permission(Access::NONE, 0),
        permission(Access::READ, 7),
        permission(Access::WRITE, 32751),
        permission(Access::BOTH, u16::MAX),
    ]
    .into_iter()
    .cycle()
    .take(PERMISSIONS_MAX)
    .collect();
    store.write(Transaction::NONE, "a", b"").unwrap();
    store
        .set_permissions(Transaction::NONE, "a", &permissions)
        .unwrap();
    let answer: Vec<_> = store.permissions(Transaction::NONE, "a").unwrap().collect();
    assert_eq!(answer, permissions);
    let too_many = [permission(Access::BOTH, u16::MAX); PERMISSIONS_MAX + 1];
    assert_eq!(
        store.set_permissions(Transaction::NONE, "a", &too_many),
        Err(Error::BadArgument)
    );
}

#[test]
#[cfg_attr(miri, ignore = "long")]
fn the_longest_value_passes_and_a_longer_one_is_not_sent() {
    let mut lab = Lab::new();
    let daemon = lab.daemon.clone();
    let mut store = lab.connect().unwrap();
    let value = vec![7; 4096 - 2];
    store.write(Transaction::NONE, "a", &value).unwrap();
    assert_eq!(store.read(Transaction::NONE, "a"), Ok(&value[..]));
    let notifications = daemon.borrow().notifications;
    for (node, value) in [
        ("ab", &value[..]),
        ("", b""),
        ("a\0b", b""),
        (&"a".repeat(2049), b""),
        (&format!("/{}", "a".repeat(3072)), b""),
    ] {
        let refusal = store.write(Transaction::NONE, node, value);
        assert_eq!(refusal, Err(Error::BadArgument), "{node}");
    }
    assert_eq!(store.watch("a", "b\0"), Err(Error::BadArgument));
    assert_eq!(daemon.borrow().notifications, notifications);
}

#[test]
fn more_names_than_one_message_holds_are_refused() {
    let mut lab = Lab::new();
    for number in 0..1000 {
        let path = format!("d/child-{number}");
        lab.daemon.borrow_mut().set(&path, b"");
    }
    let mut store = lab.connect().unwrap();
    let refusal = store.directory(Transaction::NONE, "d").map(|_| ());
    assert_eq!(refusal, Err(Error::Refused(XenError::TOO_BIG)));
}

#[test]
fn what_others_left_in_the_ring_is_dropped() {
    for left in [5, 5000] {
        let mut lab = Lab::new();
        let page = lab.page.clone();
        page.word(RESPONSES_PRODUCED)
            .store(left, std::sync::atomic::Ordering::Relaxed);
        let mut store = lab.connect().unwrap();
        assert_eq!(
            page.word(RESPONSES_CONSUMED)
                .load(std::sync::atomic::Ordering::Relaxed),
            left
        );
        store.write(Transaction::NONE, "a", b"b").unwrap();
    }
}

#[test]
fn a_connection_that_is_not_there_yet_is_waited_for() {
    let mut lab = Lab::new();
    let page = lab.page.clone();
    let daemon = lab.daemon.clone();
    page.word(CONNECTION)
        .store(1, std::sync::atomic::Ordering::Relaxed);
    daemon.borrow_mut().is_asleep = true;
    assert_eq!(lab.connect().err(), Some(Error::GaveUp));
    // The toolstack introduces the domain.
    daemon.borrow_mut().is_asleep = false;
    daemon.borrow_mut().is_notified = true;
    let mut store = lab.connect().unwrap();
    assert_eq!(
        page.word(REQUESTS_PRODUCED)
            .load(std::sync::atomic::Ordering::Relaxed),
        77
    );
    store.write(Transaction::NONE, "a", b"b").unwrap();
    assert_ne!(
        store.start_transaction(),
        Ok::<Transaction, _>(Transaction::NONE)
    );
}
