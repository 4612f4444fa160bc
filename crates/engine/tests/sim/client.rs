//! A client: sends its requests in pieces, reads its replies when it likes, and goes in its own way.

use crate::ask::{Ask, Reply, Rule};
use crate::rng::Rng;
use config::Protocol;
use engine::Closing;
use engine::id::ClientId;
use std::collections::BTreeMap;
use wire::{Limits, memcache, resp};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) pool: usize,
    pub(crate) protocol: Protocol,
    pub(crate) asks: Vec<Ask>,
    /// All it will send, and how much of it the proxy has.
    pub(crate) stream: Vec<u8>,
    pub(crate) sent: usize,
    /// The first request that is not wholly sent.
    pub(crate) unsent: usize,
    /// The first request that is not answered.
    pub(crate) next: usize,
    received: Vec<u8>,
    /// For each key the last request that is known to have written it.
    written: BTreeMap<Vec<u8>, u32>,
    /// Whether the proxy reads from it.
    pub(crate) reading: bool,
    /// It is never read again: a lie.
    pub(crate) kept_paused: bool,
    /// Whether the proxy waits until it may write.
    pub(crate) blocked: bool,
    /// Sends nothing until then.
    pub(crate) thinks_until: u64,
    /// Reads nothing until then.
    pub(crate) deaf_until: u64,
    /// Ends its side once all is sent.
    pub(crate) half_closes: bool,
    /// Breaks off when so much is sent.
    pub(crate) vanishes_at: Option<usize>,
    /// When it last sent something.
    pub(crate) heard_at: u64,
    /// By when what it was last seen to be answered had to be there, for nothing overtakes.
    pub(crate) due: u64,
    /// Has been deaf or paused: its answers may take any time.
    pub(crate) slow: bool,
    /// Requests larger than this may be answered before their end.
    pub(crate) streams_from: usize,
    /// Read that there is no memory for its request.
    pub(crate) refused: bool,
    /// Takes its time between requests.
    pub(crate) ponders: bool,
    /// Has ended its side.
    pub(crate) ended: bool,
    /// Has broken off.
    pub(crate) lost: bool,
    /// The proxy has closed it.
    pub(crate) closed: Option<Closing>,
}

impl Client {
    pub(crate) fn new(id: ClientId, pool: usize, protocol: Protocol, asks: Vec<Ask>) -> Client {
        Client {
            id,
            pool,
            protocol,
            stream: asks.iter().flat_map(|ask| ask.bytes.iter().chain(ask.tail).copied()).collect(),
            asks,
            sent: 0,
            unsent: 0,
            next: 0,
            received: Vec::new(),
            written: BTreeMap::new(),
            reading: true,
            kept_paused: false,
            blocked: false,
            thinks_until: 0,
            deaf_until: 0,
            half_closes: false,
            streams_from: usize::MAX,
            refused: false,
            ponders: false,
            vanishes_at: None,
            heard_at: 0,
            due: 0,
            slow: false,
            ended: false,
            lost: false,
            closed: None,
        }
    }

    /// Whether the proxy still has it.
    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether it has more to send.
    pub(crate) fn has_more(&self) -> bool {
        self.sent < self.stream.len()
    }

    /// The next bytes it sends; the requests they complete are asked now.
    pub(crate) fn send(&mut self, rng: &mut Rng, now: u64, at_most: usize) -> Vec<u8> {
        let left = (self.stream.len() - self.sent).min(at_most);
        let most = self.vanishes_at.map_or(left, |at| left.min(at.saturating_sub(self.sent)));
        let bytes = self.stream[self.sent..self.sent + rng.portion(most)].to_vec();
        self.sent += bytes.len();
        self.heard_at = now;
        if self.ponders && rng.chance(500) {
            // Long enough for what it asks next to come while the servers are in trouble with what it asked.
            self.thinks_until = now + rng.range(1, 150_000);
        }
        let mut start: usize = self.asks[..self.unsent].iter().map(|ask| ask.bytes.len()).sum();
        while let Some(ask) = self.asks.get_mut(self.unsent) {
            if self.sent > start && ask.bytes.len() > self.streams_from && ask.begun_at.is_none() {
                ask.begun_at = Some(now);
            }
            if self.sent < start + ask.enough {
                break;
            }
            start += ask.bytes.len();
            ask.sent_at = Some(now);
            if let Reply::Known(_, Rule::Values(elements)) = &mut ask.reply {
                let written = |key: &[u8]| self.written.get(key).copied().unwrap_or(0);
                elements.iter_mut().for_each(|element| element.floor = written(&element.key));
            }
            self.unsent += 1;
        }
        bytes
    }

    /// Reads bytes; answers the whole replies among them.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.received.extend_from_slice(bytes);
        let mut replies = Vec::new();
        let mut used = 0;
        while used < self.received.len() {
            let rest = &self.received[used..];
            let found = match self.protocol {
                Protocol::Redis => match resp::ReplyScan::default().scan(rest, &Limits::default()) {
                    resp::ReplyParse::Complete { len, .. } => Some(len),
                    resp::ReplyParse::Partial => None,
                    resp::ReplyParse::Invalid(error) => return Err(no_reply(rest, &format!("{error:?}"))),
                },
                Protocol::Memcache => match memcache::ReplyScan::default().scan(rest, &Limits::default()) {
                    memcache::ReplyParse::Complete { len, .. } => Some(len),
                    memcache::ReplyParse::Partial => None,
                    memcache::ReplyParse::Invalid(error) => {
                        return Err(no_reply(rest, &format!("{error:?}")));
                    }
                },
            };
            let Some(len) = found else { break };
            replies.push(rest[..len].to_vec());
            used += len;
        }
        self.received.drain(..used);
        Ok(replies)
    }

    /// The request at this place was served.
    pub(crate) fn served(&mut self, place: usize) {
        let Ask { seq, writes, .. } = &self.asks[place];
        writes.iter().for_each(|key| _ = self.written.insert(key.clone(), *seq));
    }

    /// The place of the request that the next reply must be for.
    pub(crate) fn expects(&mut self) -> Option<usize> {
        while self.asks.get(self.next).is_some_and(|ask| matches!(ask.reply, Reply::None)) {
            self.next += 1;
        }
        (self.next < self.unsent).then_some(self.next)
    }

    /// The same, or that of a large request not sent to its end: it is passed on as it comes, and may be answered early.
    pub(crate) fn expects_early(&mut self) -> Option<usize> {
        let expected = self.expects();
        let before: usize = self.asks[..self.unsent].iter().map(|ask| ask.bytes.len()).sum();
        let begun = self.next == self.unsent
            && self.asks.get(self.next).is_some_and(|ask| ask.bytes.len() > self.streams_from)
            && self.sent > before;
        expected.or(begun.then_some(self.next))
    }

    /// The request that ended it, if it was sent.
    pub(crate) fn ended_by(&self) -> Option<Closing> {
        self.asks[..self.unsent].last()?.ends
    }

    /// Whether it has nothing in hand that is half a reply.
    pub(crate) fn is_between_replies(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether every byte it will read is known, and it stays to read them.
    pub(crate) fn is_exact(&self) -> bool {
        self.vanishes_at.is_none() && !self.asks.iter().any(|ask| matches!(ask.reply, Reply::Starts(_)))
    }

    /// Whether it can do something now, without waiting for anybody.
    pub(crate) fn is_busy(&self, now: u64) -> bool {
        let unsent = self.has_more() && self.thinks_until <= now;
        let ends = self.sent == self.stream.len() && self.half_closes;
        self.is_open()
            && ((self.reading && !self.ended && (unsent || ends))
                || (self.blocked && self.deaf_until <= now)
                || self.vanishes_at.is_some_and(|at| self.sent >= at))
    }

    /// When it will do something by itself.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        let thinks = (self.reading && self.has_more()).then_some(self.thinks_until);
        let deaf = self.blocked.then_some(self.deaf_until);
        if self.is_open() { [thinks, deaf].into_iter().flatten().min() } else { None }
    }
}

fn no_reply(bytes: &[u8], why: &str) -> String {
    format!("a client read {why}: {}", bytes[..bytes.len().min(100)].escape_ascii())
}
