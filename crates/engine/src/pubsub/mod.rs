//! Subscriptions: many clients share what one connection per server is subscribed to.
//!
//! ```text
//!   client ─┐                     ┌─ first subscriber: SUBSCRIBE ──►┐
//!   client ─┼─► topic (members) ──┤                                 ├─ feed: one connection per server and worker
//!   client ─┘        ▲            └─ last one gone: UNSUBSCRIBE ───►┘
//!                    └───────────────────── messages ◄──────────────┘
//! ```
//! A channel lives on the server that its name hashes to, as a key does, and PUBLISH goes there too. Patterns, and
//! channels on which servers tell what happens to their keys, are subscribed on every server: each message exists on one
//! of them only. Who subscribes is answered once the servers have confirmed it, so that a message published after that is
//! never missed.

mod call;
mod deliver;
mod feed;
mod topic;

use crate::deadline::NEVER;
use crate::id::Id;
use crate::slab::{NONE, Slab};
use crate::topology::Topology;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel: SUBSCRIBE.
    Channel,
    /// All channels that a pattern fits: PSUBSCRIBE.
    Pattern,
    /// A channel of sharded pub/sub: SSUBSCRIBE.
    Shard,
}

impl Kind {
    /// The word of a confirmation.
    pub(crate) fn subscribed(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"subscribe",
            Kind::Pattern => b"psubscribe",
            Kind::Shard => b"ssubscribe",
        }
    }

    /// The word that says it is over.
    pub(crate) fn unsubscribed(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"unsubscribe",
            Kind::Pattern => b"punsubscribe",
            Kind::Shard => b"sunsubscribe",
        }
    }
}

/// Something that clients are subscribed to.
#[derive(Debug)]
pub struct Topic {
    pub(crate) pool: u32,
    pub(crate) kind: Kind,
    pub(crate) name: Arc<[u8]>,
    /// The clients that get its messages.
    pub(crate) members: Vec<u32>,
    /// Places in unanswered calls that name it.
    pub(crate) pending: usize,
    /// Calls that wait until its sources are confirmed.
    pub(crate) waiting: Vec<u32>,
    /// The servers that its messages come from.
    pub(crate) sources: Vec<Source>,
}

impl Topic {
    fn is_confirmed(&self) -> bool {
        !self.sources.is_empty() && self.sources.iter().all(|source| source.state == Asked::Confirmed)
    }
}

/// A topic's handle, for what outlives it.
pub type TopicId = Id<Topic>;

/// A server that a topic's messages come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) server: u32,
    pub(crate) state: Asked,
}

/// How far a server is with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It does not know of it, or no longer.
    No,
    /// It has been asked.
    Sent,
    /// It has confirmed it.
    Confirmed,
}

/// A SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE that is not answered yet.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) client: u32,
    pub(crate) request: u32,
    pub(crate) kind: Kind,
    /// In the order asked, some perhaps twice.
    pub(crate) topics: Vec<u32>,
    /// So many of them are not confirmed.
    pub(crate) outstanding: usize,
    /// When it came, in microseconds.
    pub(crate) at_us: u64,
    /// The whole error reply, once it has failed.
    pub(crate) failed: Option<Vec<u8>>,
}

/// What a client is subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// By topic: its place among the members.
    pub(crate) topics: BTreeMap<u32, u32>,
    /// So many of them are of sharded pub/sub, which are counted apart.
    pub(crate) shards: usize,
    /// Its calls that are not answered, the oldest first.
    pub(crate) calls: VecDeque<u32>,
    /// Messages that wait until a large reply is over.
    pub(crate) held: Vec<u8>,
}

impl Subscriptions {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.calls.is_empty() && self.held.is_empty()
    }

    /// The number that a confirmation tells.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        if kind == Kind::Shard { self.shards } else { self.topics.len() - self.shards }
    }
}

/// A worker's side of all subscriptions.
#[derive(Debug)]
pub(crate) struct Pubsub {
    pub(crate) topics: Slab<Topic>,
    pub(crate) calls: Slab<Call>,
    pools: Vec<PoolTopics>,
    /// When connections are to be made again, in microseconds: by time, pool and server.
    retries: Vec<(u64, u32, u32)>,
    /// Clients' subscriptions, and places in unanswered calls.
    subscriptions: usize,
    /// Bytes of all topics' names.
    name_bytes: usize,
}

#[derive(Debug)]
struct PoolTopics {
    channels: BTreeMap<Arc<[u8]>, u32>,
    patterns: BTreeMap<Arc<[u8]>, u32>,
    shards: BTreeMap<Arc<[u8]>, u32>,
    feeds: Vec<Feed>,
}

impl PoolTopics {
    fn names(&mut self, kind: Kind) -> &mut BTreeMap<Arc<[u8]>, u32> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }
}

/// The connection on which a server's messages come.
#[derive(Clone, Copy, Debug)]
struct Feed {
    /// The connection, or `NONE`.
    conn: u32,
    /// Topics that have the server as a source.
    topics: usize,
    /// Attempts in a row that confirmed nothing.
    failures: u32,
}

impl Pubsub {
    /// Nobody is subscribed to anything.
    pub(crate) fn new(topology: &Topology) -> Pubsub {
        let feed = Feed { conn: NONE, topics: 0, failures: 0 };
        let pool = |servers: usize| PoolTopics {
            channels: BTreeMap::new(),
            patterns: BTreeMap::new(),
            shards: BTreeMap::new(),
            feeds: vec![feed; servers],
        };
        Pubsub {
            topics: Slab::default(),
            calls: Slab::default(),
            pools: topology.pools.iter().map(|view| pool(view.servers.len())).collect(),
            retries: Vec::new(),
            subscriptions: 0,
            name_bytes: 0,
        }
    }

    /// When a connection is next to be made, in microseconds; or [`NEVER`].
    pub(crate) fn next_retry(&self) -> u64 {
        self.retries.iter().map(|(at, _, _)| *at).min().unwrap_or(NEVER)
    }

    fn feed(&mut self, pool: u32, server: u32) -> &mut Feed {
        &mut self.pools[pool as usize].feeds[server as usize]
    }

    /// The topic of this name, if anybody is or wants to be subscribed to it.
    pub(crate) fn find(&mut self, pool: u32, kind: Kind, name: &[u8]) -> Option<u32> {
        self.pools[pool as usize].names(kind).get(name).copied()
    }
}
