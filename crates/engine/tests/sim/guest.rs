//! A guest: a client that begins things on the side (transactions, waits, subscriptions) and shares keys with others. What it
//! asks next it decides when it has read what came.

use crate::cache::{Cache, Tracks};
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::shelf::Topic;
use engine::Closing;
use engine::id::{ClientId, ConnId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::Limits;
use wire::resp;

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) id: ClientId,
    /// As CLIENT ID tells it.
    pub(crate) number: u64,
    pub(crate) pool: usize,
    /// What it has asked and not read the answer to.
    pub(crate) asks: VecDeque<Ask>,
    /// What is not sent yet.
    pub(crate) stream: VecDeque<u8>,
    /// Bytes that it has sent, and that it has decided to send.
    sent: usize,
    written: usize,
    received: Vec<u8>,
    /// So many times it will still think of something to ask.
    pub(crate) wishes: usize,
    pub(crate) leaves: Leaves,
    /// It has said QUIT, or is about to.
    pub(crate) quits: bool,

    // As things will be when all is answered.
    pub(crate) will_speak3: bool,
    pub(crate) will_hear: BTreeSet<Topic>,
    pub(crate) will_watch: BTreeSet<Vec<u8>>,

    // As things are for what was answered last.
    pub(crate) resp3: bool,
    pub(crate) topics: BTreeMap<Topic, Heard>,
    /// The keys it watches, with how often each had been changed on each server when it had read so.
    pub(crate) watches: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Those and what it may watch.
    pub(crate) may_watch: BTreeSet<Vec<u8>>,
    /// Since when, and on which servers.
    pub(crate) watches_since: u64,
    pub(crate) watches_on: Vec<usize>,
    /// It has changed its protocol since, or was refused, and may no longer watch.
    pub(crate) unwatched: bool,
    pub(crate) spoilt: bool,
    /// Messages that it must get: the topic and number, and on which connection they came when.
    pub(crate) owed: Vec<(Topic, u32, ConnId, u64)>,

    pub(crate) cache: Cache,

    pub(crate) reading: bool,
    pub(crate) blocked: bool,
    pub(crate) thinks_until: u64,
    pub(crate) deaf_until: u64,
    pub(crate) heard_at: u64,
    /// It was told that there is no memory for it.
    pub(crate) refused: bool,
    pub(crate) ended: bool,
    pub(crate) lost: bool,
    /// When it broke off.
    pub(crate) lost_at: u64,
    pub(crate) closed: Option<Closing>,
}

/// How a guest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// By QUIT.
    Quits,
    /// It ends its side, perhaps while it waits.
    Ends,
    /// It breaks off, perhaps while it waits.
    Vanishes,
}

/// What a guest knows of a topic that it is subscribed to.
#[derive(Debug)]
pub(crate) struct Heard {
    /// When it asked.
    pub(crate) since: u64,
    /// The last message of each server.
    pub(crate) last: BTreeMap<usize, u64>,
    /// It has begun to ask for no more of it.
    pub(crate) leaving: bool,
}

/// A request of a guest.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
    /// Servers whose faults may turn the answer into an error.
    pub(crate) servers: Vec<usize>,
    /// Where it begins and ends in all that the guest sends.
    span: (usize, usize),
    /// When its first byte was sent.
    pub(crate) begun_at: Option<u64>,
}

impl Ask {
    /// Whether no more is heard of a topic after it.
    fn leaves(&self, topic: &Topic) -> bool {
        match &self.expect {
            Expect::Quit | Expect::Reset => true,
            Expect::Change(topics, _, false) => topics.contains(topic),
            Expect::ChangeAll(pattern, _) => topic.0 == *pattern,
            _ => false,
        }
    }
}

/// What may answer a guest's request, faults aside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expect {
    /// This, from the proxy itself.
    Exact(Vec<u8>),
    /// What the server has noted that it answered.
    Done(u32),
    /// The same; the request waits, (true) for as long as it takes.
    Wait(u32, bool),
    /// The same, of a request that sets this key.
    Stored(Vec<u8>, u32),
    /// A value of this key.
    Value(Vec<u8>),
    /// CLIENT TRACKING: of what it is told from then on.
    Track(Option<Tracks>),
    /// CLIENT CACHING YES.
    Mark,
    /// MULTI's answer.
    Multi,
    /// QUEUED, for a request with these keys.
    Queued(Vec<Vec<u8>>),
    /// An error that spoils the transaction.
    Spoils,
    /// What the server has noted of the transaction with this first request, and what all its requests are.
    Exec(u32, Vec<u32>),
    /// OK, and its requests are never carried out.
    Discard(Vec<u32>),
    Watch(Vec<Vec<u8>>),
    Unwatch,
    /// Confirmations of these, so many of which have come; whether it is to hear them.
    Change(Vec<Topic>, usize, bool),
    /// An end to all of one kind, confirmed one by one in any order.
    ChangeAll(bool, usize),
    Ping,
    Hello(bool),
    Reset,
    /// 1 or 0.
    Unblocked,
    Killed,
    Quit,
}

impl Guest {
    pub(crate) fn new(id: ClientId, number: u64, pool: usize, now: u64) -> Guest {
        Guest {
            id,
            number,
            pool,
            asks: VecDeque::new(),
            stream: VecDeque::new(),
            sent: 0,
            written: 0,
            received: Vec::new(),
            wishes: 0,
            leaves: Leaves::Quits,
            quits: false,
            will_speak3: false,
            will_hear: BTreeSet::new(),
            will_watch: BTreeSet::new(),
            resp3: false,
            topics: BTreeMap::new(),
            watches: BTreeMap::new(),
            may_watch: BTreeSet::new(),
            watches_since: u64::MAX,
            watches_on: Vec::new(),
            unwatched: false,
            spoilt: false,
            owed: Vec::new(),
            cache: Cache::default(),
            reading: true,
            blocked: false,
            thinks_until: 0,
            deaf_until: 0,
            heard_at: now,
            refused: false,
            ended: false,
            lost: false,
            lost_at: 0,
            closed: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether what it reads is still looked at.
    pub(crate) fn is_judged(&self) -> bool {
        !self.lost && !self.refused
    }

    pub(crate) fn ask(&mut self, bytes: Vec<u8>, expect: Expect, servers: Vec<usize>) {
        let span = (self.written, self.written + bytes.len());
        self.written = span.1;
        self.stream.extend(&bytes);
        self.asks.push_back(Ask { bytes, expect, servers, span, begun_at: None });
    }

    /// It is subscribed to a topic, as it asked then; it may have thought better of it since.
    pub(crate) fn join(&mut self, topic: &Topic, since: u64) {
        let thinks = self.asks.iter().skip(1).any(|ask| ask.begun_at.is_some() && ask.leaves(topic));
        let fresh = Heard { since, last: BTreeMap::new(), leaving: thinks || self.ended };
        self.topics.entry(topic.clone()).or_insert(fresh);
    }

    /// The next bytes that it sends.
    pub(crate) fn send(&mut self, rng: &mut Rng, now: u64) -> Vec<u8> {
        let bytes: Vec<u8> = self.stream.drain(..rng.portion(self.stream.len())).collect();
        self.sent += bytes.len();
        if !bytes.is_empty() {
            self.heard_at = now;
        }
        for ask in self.asks.iter_mut().filter(|ask| ask.begun_at.is_none() && ask.span.0 < self.sent) {
            ask.begun_at = Some(now);
            for (topic, heard) in &mut self.topics {
                heard.leaving |= ask.leaves(topic);
            }
        }
        bytes
    }

    /// Whether the next answer is waited for on a connection of its own.
    pub(crate) fn waits(&self) -> bool {
        let next = self.asks.front();
        next.is_some_and(|ask| self.is_sent(ask) && matches!(ask.expect, Expect::Wait(..)))
    }

    /// Whether something else may still come before its next wait: it is not certain that it waits.
    pub(crate) fn may_wait(&self) -> bool {
        self.asks.iter().any(|ask| ask.begun_at.is_some() && matches!(ask.expect, Expect::Wait(..)))
    }

    /// Whether a request has wholly left.
    pub(crate) fn is_sent(&self, ask: &Ask) -> bool {
        ask.span.1 <= self.sent
    }

    /// Whether it waits for as long as it takes.
    pub(crate) fn waits_forever(&self) -> bool {
        self.waits() && matches!(self.asks.front().map(|ask| &ask.expect), Some(Expect::Wait(_, true)))
    }

    /// Reads bytes; answers the whole replies among them.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.received.extend_from_slice(bytes);
        let (mut replies, mut used) = (Vec::new(), 0);
        while used < self.received.len() {
            let rest = &self.received[used..];
            match resp::ReplyScan::default().scan(rest, &Limits::default()) {
                resp::ReplyParse::Complete { len, .. } => {
                    replies.push(rest[..len].to_vec());
                    used += len;
                }
                resp::ReplyParse::Partial => break,
                resp::ReplyParse::Invalid(error) => {
                    return Err(format!("a guest read {error:?}: {}", rest.escape_ascii()));
                }
            }
        }
        self.received.drain(..used);
        Ok(replies)
    }

    pub(crate) fn is_between_replies(&self) -> bool {
        self.received.is_empty()
    }

    /// It watches nothing any more.
    pub(crate) fn unwatch(&mut self) {
        self.watches.clear();
        self.may_watch.clear();
        self.watches_on.clear();
        self.watches_since = u64::MAX;
        self.unwatched = false;
    }

    /// Whether it can do something now, without waiting for anybody.
    pub(crate) fn is_busy(&self, now: u64) -> bool {
        self.wakes_at().is_some_and(|at| at <= now)
    }

    /// Whether it has something to do next.
    fn has_plans(&self) -> bool {
        let wants = self.wishes > 0 && !self.waits() || self.asks.is_empty() && !self.cache.is_unchecked();
        !self.stream.is_empty() || wants && !self.quits
    }

    /// When it will do something by itself.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        if !self.is_open() || self.lost {
            return None;
        }
        let thinks = (self.reading && !self.ended && self.has_plans()).then_some(self.thinks_until);
        let deaf = self.blocked.then_some(self.deaf_until);
        [thinks, deaf].into_iter().flatten().min()
    }

    /// When all is over: what was taken off a list for it has reached it, or there is a reason.
    pub(crate) fn check_takings(&self, ledger: &Ledger) -> Result<(), String> {
        for ask in &self.asks {
            let Expect::Wait(id, _) = ask.expect else { continue };
            let Some(done) = ledger.done.get(&id).filter(|done| done.took) else { continue };
            if !(self.refused || self.lost || self.ended) {
                return Err(format!("guest {:?} never got {}", self.id, done.reply.escape_ascii()));
            }
            if !self.refused && done.at > self.lost_at {
                return Err(format!(
                    "guest {:?} was gone at {} and an element was taken for it at {}: {}",
                    self.id,
                    self.lost_at,
                    done.at,
                    done.reply.escape_ascii()
                ));
            }
        }
        Ok(())
    }
}
