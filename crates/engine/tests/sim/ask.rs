//! What a client asks, and what it may read in answer.

use crate::rng::Rng;
use crate::setup::PoolPlan;
use config::Protocol;
use engine::Closing;
use engine::topology::PoolView;
use std::collections::BTreeMap;

/// One request as a client sends it.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Its number among the client's.
    pub(crate) seq: u32,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// So many of its bytes are enough for the proxy to answer.
    pub(crate) enough: usize,
    /// Its client speaks RESP3.
    pub(crate) resp3: bool,
    /// The client reads the same whatever the servers say.
    pub(crate) any_answer: bool,
    /// What the client sends behind it though nothing is read any more.
    pub(crate) tail: &'static [u8],
    /// What answers it.
    pub(crate) reply: Reply,
    /// Whether the proxy answers by itself: then no fault of a server is an excuse.
    pub(crate) local: bool,
    /// Servers whose faults may turn the answer into an error.
    pub(crate) servers: Vec<usize>,
    /// The keys it stores or deletes.
    pub(crate) writes: Vec<Vec<u8>>,
    /// Its work on servers, as the journal names it. Done once each when the answer is no error.
    pub(crate) tokens: Vec<String>,
    /// The proxy closes the client after it, in this way.
    pub(crate) ends: Option<Closing>,
    /// When the first byte of a large one reached the proxy, which passes it on as it comes.
    pub(crate) begun_at: Option<u64>,
    /// When its last byte reached the proxy.
    pub(crate) sent_at: Option<u64>,
    /// When it was answered, and whether with the answer asked for.
    pub(crate) answered: Option<bool>,
}

/// What answers a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Nothing.
    None,
    /// These bytes.
    Exact(Vec<u8>),
    /// Bytes that begin so.
    Starts(Vec<u8>),
    /// These bytes, when all is known; otherwise what the rule allows.
    Known(Vec<u8>, Rule),
}

/// What an answer must keep to when earlier writes may have failed.
#[derive(Debug)]
pub(crate) enum Rule {
    /// A value of one of these keys, in order, stored by an earlier request of this client; or none.
    Values(Vec<Element>),
    /// A number from 0 or 1 to this.
    Number(i64, i64),
    /// One of these.
    OneOf(&'static [&'static [u8]]),
}

/// One key of a read.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) server: Vec<usize>,
    /// What it answers in any case, where that is known.
    pub(crate) stamp: Option<Vec<u8>>,
    /// The last request that is known to have written it before this was asked: nothing older is an answer.
    pub(crate) floor: u32,
}

/// Writes a client's requests, and knows what a single server would answer to them.
pub(crate) struct Author<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) pool: &'a PoolPlan,
    pub(crate) view: &'a PoolView,
    /// Keys may change their server, or have none: those of different tags must not be relied on to be apart.
    pub(crate) loose: bool,
    /// Mostly of what is stored: servers leave with it and return.
    pub(crate) of_values: bool,
    pub(crate) client: usize,
    /// The number of the next request.
    pub(crate) seq: u32,
    pub(crate) values: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) counters: BTreeMap<Vec<u8>, i64>,
    /// The client's database.
    pub(crate) db: u32,
    /// Whether the client speaks RESP3 now.
    pub(crate) resp3: bool,
    /// What CLIENT GETNAME answers.
    pub(crate) name: Vec<u8>,
    pub(crate) asks: Vec<Ask>,
}

impl Author<'_> {
    /// Writes `count` requests; `ends` is how the client goes, if it is by a request.
    pub(crate) fn write(mut self, count: usize, ends: Option<Closing>) -> Vec<Ask> {
        if self.pool.protocol == Protocol::Redis {
            self.begin_redis();
        }
        for _ in 0..count {
            self.seq += 1;
            match self.pool.protocol {
                Protocol::Redis => self.redis(),
                Protocol::Memcache => self.memcache(),
            }
        }
        self.seq += 1;
        match (ends, self.pool.protocol) {
            (None, _) => {}
            (Some(closing), Protocol::Redis) => self.end_redis(closing),
            (Some(closing), Protocol::Memcache) => self.end_memcache(closing),
        }
        self.asks
    }

    /// A hash tag in front of a key, sometimes.
    pub(crate) fn tag(&mut self) -> String {
        if self.rng.chance(400) { format!("{{t{}}}", self.rng.below(3)) } else { String::new() }
    }

    /// What keys bear by which servers know their database; nothing in the pool's own.
    fn mark(&self) -> String {
        if self.db == self.pool.db { String::new() } else { format!(".d{}", self.db) }
    }

    /// A key that holds what was stored.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        format!("{}k{}.{}{}", self.tag(), self.client, self.rng.below(3), self.mark()).into_bytes()
    }

    /// A counter.
    pub(crate) fn counter(&mut self) -> Vec<u8> {
        format!("{}n{}.{}{}", self.tag(), self.client, self.rng.below(2), self.mark()).into_bytes()
    }

    /// A key that nobody else ever asks for.
    pub(crate) fn question(&mut self, part: usize) -> Vec<u8> {
        let tag = self.tag();
        self.tagged_question(&tag, part)
    }

    pub(crate) fn tagged_question(&mut self, tag: &str, part: usize) -> Vec<u8> {
        format!("{tag}q{}.{}.{part}{}", self.client, self.seq, self.mark()).into_bytes()
    }

    /// A new value for a key: it names the key and the request.
    pub(crate) fn value(&mut self, key: &[u8]) -> Vec<u8> {
        let padding = if self.rng.chance(50) { self.rng.below(2000) } else { self.rng.below(12) };
        let mut value = key.to_vec();
        value.extend_from_slice(format!("#{}#", self.seq).as_bytes());
        // Line ends and the protocols' own marks inside a value mean nothing.
        value.extend(b"\r\nEND$*x ".iter().cycle().take(padding));
        value
    }

    pub(crate) fn stored(&self, value: &[u8]) -> String {
        let head = value.split(|byte| *byte == b'#').take(2).collect::<Vec<_>>().join(&b'#');
        format!("set {}", head.escape_ascii())
    }

    /// The servers a key may be on.
    pub(crate) fn place(&self, key: &[u8]) -> Vec<usize> {
        if self.loose || self.view.random {
            return (0..self.view.servers.len()).collect();
        }
        self.view.placement.server(key, || 0).into_iter().map(|server| server as usize).collect()
    }

    /// The servers that any of the keys may be on.
    pub(crate) fn places<'k>(&self, keys: impl IntoIterator<Item = &'k Vec<u8>>) -> Vec<usize> {
        let mut servers: Vec<usize> = keys.into_iter().flat_map(|key| self.place(key)).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    pub(crate) fn everywhere(&self) -> Vec<usize> {
        (0..self.view.own).collect()
    }

    /// A request that servers answer.
    pub(crate) fn ask(&mut self, bytes: Vec<u8>, reply: Reply, servers: Vec<usize>, tokens: Vec<String>) {
        self.asks.push(Ask {
            seq: self.seq,
            enough: bytes.len(),
            bytes,
            resp3: self.resp3,
            any_answer: false,
            tail: b"",
            reply,
            local: false,
            servers,
            writes: Vec::new(),
            tokens,
            ends: None,
            begun_at: None,
            sent_at: None,
            answered: None,
        });
    }

    /// A request that the proxy answers.
    pub(crate) fn ask_here(&mut self, bytes: Vec<u8>, reply: Reply) {
        self.ask(bytes, reply, Vec::new(), Vec::new());
        self.last().local = true;
    }

    pub(crate) fn last(&mut self) -> &mut Ask {
        self.asks.last_mut().expect("one was just asked")
    }
}
