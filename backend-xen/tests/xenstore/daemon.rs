//! xenstored, as docs/misc/xenstore.txt of Xen has it, at the other end of a page.
//!
//! It knows the page by offsets only. It takes and gives bytes by random pieces, sends watch events
//! before or after the answer that they belong to, and lies when a test tells it to.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use pvops_backend_xen::{GaveUp, PeerEvents};

pub(crate) const RING: usize = 1024;
pub(crate) const REQUESTS_CONSUMED: usize = 2048;
pub(crate) const REQUESTS_PRODUCED: usize = 2052;
pub(crate) const RESPONSES_CONSUMED: usize = 2056;
pub(crate) const RESPONSES_PRODUCED: usize = 2060;
pub(crate) const FEATURES: usize = 2064;
pub(crate) const CONNECTION: usize = 2068;
pub(crate) const ERROR: usize = 2072;

/// A page of memory that both sides know.
pub(crate) struct SharedPage(Box<[AtomicU32; 1024]>);

impl SharedPage {
    pub(crate) fn new() -> Self {
        SharedPage(Box::new([const { AtomicU32::new(0) }; 1024]))
    }

    pub(crate) fn pointer<T>(&self) -> NonNull<T> {
        NonNull::from(&*self.0).cast()
    }

    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        &self.0[offset / 4]
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        let bytes: NonNull<[AtomicU8; 4096]> = self.pointer();
        // SAFETY: the page is as large, and atomics may be accessed as smaller ones by one thread.
        unsafe { &bytes.as_ref()[offset] }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: u32,
    pub(crate) request: u32,
    pub(crate) transaction: u32,
    /// What the header says; the payload's own if `None`.
    pub(crate) length: Option<u32>,
    pub(crate) payload: Vec<u8>,
}

type Lie = Box<dyn FnMut(&mut Message)>;
type Change = Box<dyn FnMut() -> Option<(String, Vec<u8>)>>;

#[derive(Clone, Default)]
struct Node {
    value: Vec<u8>,
    permissions: Vec<String>,
}

type Tree = BTreeMap<String, Node>;

pub(crate) struct Daemon {
    pub(crate) page: Rc<SharedPage>,
    random: u64,
    tree: Tree,
    generation: u64,
    transactions: BTreeMap<u32, (Tree, u64)>,
    last_transaction: u32,
    pub(crate) watches: Vec<(String, String)>,
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// Changes an answer before it is sent.
    pub(crate) lie: Option<Lie>,
    /// What somebody else writes after the kernel has read something.
    pub(crate) change_on_read: Option<Change>,
    /// Does nothing.
    pub(crate) is_asleep: bool,
    /// Sends this event again and again, and nothing else.
    pub(crate) flood: Option<Message>,
    /// How many calls of `wait` the kernel has patience for while nothing moves.
    pub(crate) patience: usize,
    pub(crate) waits: usize,
    pub(crate) notifications: usize,
    /// It looks at the page after an event only, and then until nothing moves.
    pub(crate) is_notified: bool,
    pub(crate) events_sent: usize,
}

/// The kernel's event channel to the daemon, which works whenever the kernel waits.
#[derive(Clone)]
pub(crate) struct Handle(pub Rc<RefCell<Daemon>>);

impl PeerEvents for Handle {
    fn notify(&mut self) {
        let mut daemon = self.0.borrow_mut();
        daemon.notifications += 1;
        daemon.is_notified = true;
    }

    fn wait(&mut self) -> Result<(), GaveUp> {
        let mut daemon = self.0.borrow_mut();
        daemon.waits += 1;
        for _ in 0..daemon.patience {
            if daemon.work() {
                // It may go on until it can't.
                while daemon.pick(3) > 1 && daemon.work() {}
                return Ok(());
            }
        }
        Err(GaveUp)
    }
}

impl Daemon {
    /// With the ring's indexes at `start`.
    pub(crate) fn new(seed: u64, start: u32) -> Self {
        let page = SharedPage::new();
        for offset in [
            REQUESTS_CONSUMED,
            REQUESTS_PRODUCED,
            RESPONSES_CONSUMED,
            RESPONSES_PRODUCED,
        ] {
            page.word(offset).store(start, Ordering::Relaxed);
        }
        page.word(FEATURES).store(0b11, Ordering::Relaxed);
        Daemon {
            page: Rc::new(page),
            random: seed | 1,
            tree: Tree::from([(String::new(), Node::default())]),
            generation: 0,
            transactions: BTreeMap::new(),
            last_transaction: 0,
            watches: Vec::new(),
            input: Vec::new(),
            output: VecDeque::new(),
            lie: None,
            change_on_read: None,
            is_asleep: false,
            flood: None,
            patience: 64,
            waits: 0,
            notifications: 0,
            is_notified: false,
            events_sent: 0,
        }
    }

    pub(crate) fn set(&mut self, path: &str, value: &[u8]) {
        self.change(0, path, |tree| {
            tree.entry(path.into()).or_default().value = value.into();
            Ok(())
        })
        .unwrap();
        self.fire(path);
    }

    pub(crate) fn value(&self, path: &str) -> Option<&[u8]> {
        Some(&self.tree.get(path)?.value)
    }

    pub(crate) fn has_no_transaction(&self) -> bool {
        self.transactions.is_empty()
    }

    pub(crate) fn say(&mut self, message: &Message) {
        self.is_notified = true;
        let length = message.length.unwrap_or(message.payload.len() as u32);
        for word in [message.kind, message.request, message.transaction, length] {
            self.output.extend(word.to_le_bytes());
        }
        self.output.extend(&message.payload);
    }

    /// Whether anything moved.
    fn work(&mut self) -> bool {
        if self.is_asleep || !self.is_notified {
            return false;
        }
        let connection = self.page.word(CONNECTION);
        if connection.load(Ordering::Relaxed) == 1 {
            for (produced, consumed) in [
                (REQUESTS_PRODUCED, REQUESTS_CONSUMED),
                (RESPONSES_PRODUCED, RESPONSES_CONSUMED),
            ] {
                // Any place will do, as long as they are equal.
                self.page.word(produced).store(77, Ordering::Relaxed);
                self.page.word(consumed).store(77, Ordering::Relaxed);
            }
            self.watches.clear();
            self.transactions.clear();
            self.input.clear();
            self.output.clear();
            self.page.word(CONNECTION).store(0, Ordering::Relaxed);
            return true;
        }
        if let Some(message) = self.flood.clone()
            && self.output.len() < 2 * RING
        {
            self.say(&message);
        }
        // As xenstored does: no requests while the answers are not read.
        let took = self.output.is_empty() && self.take();
        while let Some(request) = self.next_request() {
            self.answer(request);
        }
        let gave = self.give();
        self.is_notified = took || gave;
        self.is_notified
    }

    fn take(&mut self) -> bool {
        let page = self.page.clone();
        let produced = page.word(REQUESTS_PRODUCED).load(Ordering::Acquire);
        let consumed = page.word(REQUESTS_CONSUMED);
        let from = consumed.load(Ordering::Relaxed);
        let there = produced.wrapping_sub(from) as usize;
        assert!(there <= RING, "the kernel's index is wrong");
        let count = self.pick(there);
        for at in 0..count {
            let index = from.wrapping_add(at as u32) as usize % RING;
            self.input.push(page.byte(index).load(Ordering::Relaxed));
        }
        consumed.store(from.wrapping_add(count as u32), Ordering::Release);
        count > 0
    }

    fn give(&mut self) -> bool {
        let page = self.page.clone();
        let consumed = page.word(RESPONSES_CONSUMED).load(Ordering::Acquire);
        let produced = page.word(RESPONSES_PRODUCED);
        let from = produced.load(Ordering::Relaxed);
        let room = RING - from.wrapping_sub(consumed) as usize;
        let count = self.pick(room.min(self.output.len()));
        for (at, byte) in self.output.drain(..count).enumerate() {
            let index = RING + from.wrapping_add(at as u32) as usize % RING;
            page.byte(index).store(byte, Ordering::Relaxed);
        }
        produced.store(from.wrapping_add(count as u32), Ordering::Release);
        count > 0
    }

    fn next_request(&mut self) -> Option<Message> {
        let word = |at: usize| {
            let bytes = self.input.get(4 * at..4 * at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().unwrap()))
        };
        let [kind, request, transaction, length] = [word(0)?, word(1)?, word(2)?, word(3)?];
        assert!(length <= 4096, "the kernel sends too long a request");
        let end = 16 + length as usize;
        let payload = self.input.get(16..end)?.to_vec();
        self.input.drain(..end);
        Some(Message {
            kind,
            request,
            transaction,
            length: None,
            payload,
        })
    }

    fn answer(&mut self, request: Message) {
        let mut events = Vec::new();
        let (kind, payload) = match self.perform(&request, &mut events) {
            Ok(payload) => (request.kind, payload),
            Err(name) => (16, [name.as_bytes(), b"\0"].concat()),
        };
        let mut answer = Message {
            kind,
            request: request.request,
            transaction: request.transaction,
            length: None,
            payload,
        };
        if request.kind == 2
            && let Some(change) = &mut self.change_on_read
            && let Some((path, value)) = change()
        {
            self.set(&path, &value);
        }
        if let Some(lie) = &mut self.lie {
            lie(&mut answer);
        }
        let before = self.pick(events.len() + 1) - 1;
        // Their order among themselves is anybody's guess.
        for at in 1..events.len() {
            let other = self.pick(at + 1) - 1;
            events.swap(at, other);
        }
        self.events_sent += events.len();
        for (at, event) in events.iter().enumerate() {
            if at == before {
                self.say(&answer);
            }
            self.say(event);
        }
        if before == events.len() {
            self.say(&answer);
        }
    }

    fn perform(
        &mut self,
        request: &Message,
        events: &mut Vec<Message>,
    ) -> Result<Vec<u8>, &'static str> {
        let payload = request.payload.clone();
        let split = payload.iter().position(|&byte| byte == 0).ok_or("EINVAL")?;
        let path = std::str::from_utf8(&payload[..split]).map_err(|_| "EINVAL")?;
        let rest = &payload[split + 1..];
        let transaction = request.transaction;
        let tree = match transaction {
            0 => &self.tree,
            number => &self.transactions.get(&number).ok_or("ENOENT")?.0,
        };
        let node = tree.get(path).ok_or("ENOENT");
        let ok = b"OK\0".to_vec();
        match request.kind {
            1 => {
                node?;
                let prefix = format!("{path}/");
                let names = tree.keys().filter_map(|key| key.strip_prefix(&prefix));
                let children = names.filter(|name| !name.contains('/'));
                let list: Vec<u8> = children
                    .flat_map(|name| [name.as_bytes(), b"\0"].concat())
                    .collect();
                if list.len() > 4096 {
                    Err("E2BIG")
                } else {
                    Ok(list)
                }
            }
            2 => Ok(node?.value.clone()),
            3 => Ok(node?
                .permissions
                .iter()
                .flat_map(|permission| [permission.as_bytes(), b"\0"].concat())
                .collect()),
            4 | 5 => {
                let token = std::str::from_utf8(&rest[..rest.len() - 1]).unwrap();
                let watch = (path.to_owned(), token.to_owned());
                let position = self.watches.iter().position(|other| *other == watch);
                match (request.kind, position) {
                    (4, Some(_)) => return Err("EEXIST"),
                    (4, None) => {
                        events.push(event(path, token));
                        self.watches.push(watch);
                    }
                    (_, None) => return Err("ENOENT"),
                    (_, Some(position)) => drop(self.watches.remove(position)),
                }
                Ok(ok)
            }
            6 => {
                self.last_transaction += 1;
                self.transactions
                    .insert(self.last_transaction, (self.tree.clone(), self.generation));
                Ok(format!("{}\0", self.last_transaction).into_bytes())
            }
            7 => {
                let (tree, generation) = self.transactions.remove(&transaction).ok_or("ENOENT")?;
                if payload == b"T\0" {
                    if generation != self.generation {
                        return Err("EAGAIN");
                    }
                    self.tree = tree;
                    self.generation += 1;
                }
                Ok(ok)
            }
            11..=14 => {
                let node = node.ok().cloned();
                self.change(transaction, path, |tree| {
                    match (request.kind, node) {
                        (11, node) => {
                            let value = rest.to_vec();
                            tree.insert(
                                path.into(),
                                Node {
                                    value,
                                    ..node.unwrap_or_default()
                                },
                            );
                        }
                        (12, node) => drop(tree.insert(path.into(), node.unwrap_or_default())),
                        (13, _) => {
                            let below = format!("{path}/");
                            tree.retain(|key, _| key != path && !key.starts_with(&below));
                        }
                        (_, None) => return Err("ENOENT"),
                        (_, Some(node)) => {
                            let texts = rest.split_terminator_nul();
                            tree.insert(
                                path.into(),
                                Node {
                                    permissions: texts,
                                    ..node
                                },
                            );
                        }
                    }
                    Ok(())
                })?;
                if transaction == 0 {
                    events.extend(self.events_of(path));
                }
                Ok(ok)
            }
            _ => Err("ENOSYS"),
        }
    }

    fn change(
        &mut self,
        transaction: u32,
        path: &str,
        change: impl FnOnce(&mut Tree) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let tree = match self.transactions.get_mut(&transaction) {
            Some((tree, _)) => tree,
            None => {
                self.generation += 1;
                &mut self.tree
            }
        };
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        for parent in parents {
            tree.entry(parent).or_default();
        }
        change(tree)
    }

    fn events_of(&self, path: &str) -> Vec<Message> {
        let is_below = |watched: &str| {
            path.strip_prefix(watched)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let watches = self.watches.iter().filter(|(watched, _)| is_below(watched));
        watches.map(|(_, token)| event(path, token)).collect()
    }

    fn fire(&mut self, path: &str) {
        for event in self.events_of(path) {
            self.events_sent += 1;
            self.say(&event);
        }
    }

    /// From 1 to `most`, or 0 if that is 0.
    fn pick(&mut self, most: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if most == 0 {
            return 0;
        }
        // Half of the time all there is, so that long messages do not take forever.
        match self.random >> 33 & 1 {
            0 => most,
            _ => 1 + (self.random >> 34) as usize % most,
        }
    }
}

pub(crate) fn event(path: &str, token: &str) -> Message {
    Message {
        kind: 15,
        request: 0,
        transaction: 0,
        length: None,
        payload: format!("{path}\0{token}\0").into_bytes(),
    }
}

trait SplitNul {
    fn split_terminator_nul(&self) -> Vec<String>;
}

impl SplitNul for [u8] {
    fn split_terminator_nul(&self) -> Vec<String> {
        let text = std::str::from_utf8(self).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }
}
