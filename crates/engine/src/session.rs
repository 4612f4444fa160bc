//! What a client has begun on the side: a transaction, keys that it watches, a wait, subscriptions, tracking.
//!
//! ```text
//!   MULTI ── queued here ── EXEC ──► one block on a shared connection, or, after WATCH, on the client's own
//!   WATCH ── a connection of its own (pinned) until EXEC, DISCARD or UNWATCH
//!   BLPOP ── a connection of its own until its reply; WAIT one to each server
//! ```
//! Most clients never have a session, and a request of theirs costs one look.

use crate::id::ConnId;
use crate::pubsub::Subscriptions;
use crate::route::copies::Copies;
use crate::tracking::Tracker;

/// A client's session; it is dropped when there is nothing in it.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// What it has queued since MULTI.
    pub(crate) transaction: Option<Transaction>,
    /// What became of the keys that it watches.
    pub(crate) watch: Watch,
    /// The connection on which it waits.
    pub(crate) blocked: Option<ConnId>,
    /// What it asks servers of their copies.
    pub(crate) copies: Option<Box<Copies>>,
    /// What it is subscribed to.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// What it wants to be told of when it changes.
    pub(crate) tracking: Option<Box<Tracker>>,
    /// Which of its requests wait for the end of a pause.
    pub(crate) halt: Halt,
    /// Whether one does.
    pub(crate) held: bool,
    /// Whether clients monitor its pool, so that what it asks is shown to them.
    pub(crate) overheard: bool,
    /// Whether it is one of them.
    pub(crate) monitor: bool,
    /// Whether it wants replies.
    pub(crate) reply: Reply,
    /// Whether it sent so much meanwhile that the worker has been asked not to read.
    pub(crate) blocked_full: bool,
}

impl Session {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        let unsubscribed = self.subscriptions.as_ref().is_none_or(|own| own.is_empty());
        self.transaction.is_none()
            && self.watch == Watch::Nothing
            && !self.waits()
            && self.reply == Reply::On
            && self.halt == Halt::Nothing
            && self.tracking.is_none()
            && !self.overheard
            && !self.monitor
            && unsubscribed
    }

    /// Whether there is nothing in it but that its client is overheard.
    pub(crate) fn only_overheard(&self) -> bool {
        let Session { transaction, watch, blocked, copies, subscriptions, tracking, halt, .. } = self;
        transaction.is_none()
            && *watch == Watch::Nothing
            && blocked.is_none()
            && copies.is_none()
            && subscriptions.is_none()
            && tracking.is_none()
            && *halt == Halt::Nothing
            && self.reply == Reply::On
            && !self.monitor
    }

    /// Whether its client waits on connections of its own.
    pub(crate) fn waits(&self) -> bool {
        self.blocked.is_some() || self.copies.is_some()
    }

    /// Bytes that it holds.
    pub(crate) fn room(&self) -> usize {
        let keys = |queued: &Transaction| queued.keys.capacity() * size_of::<QueuedKey>();
        let prefixes = self.tracking.iter().flat_map(|tracker| &tracker.prefixes);
        self.transaction.as_ref().map_or(0, |queued| queued.bytes.capacity() + keys(queued))
            + prefixes.map(|prefix| prefix.len()).sum::<usize>()
    }
}

/// What CLIENT PAUSE holds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Halt {
    /// Nothing.
    #[default]
    Nothing,
    /// Requests that write.
    Writes,
    /// All.
    All,
}

/// Whether a client wants replies, as it said with CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It does.
    #[default]
    On,
    /// It does not.
    Off,
    /// Not to what it asks next.
    SkipNext,
    /// Not to what it is asking.
    Skipping,
}

/// Whether a client watches keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Watch {
    /// It does not.
    #[default]
    Nothing,
    /// On this connection, which is its own until it no longer watches.
    On {
        /// The connection.
        conn: ConnId,
        /// Index of its server in the pool.
        server: u32,
    },
    /// Its connection is lost: nobody knows what has become of the keys.
    Lost,
}

/// What a client has queued since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The requests one after another, as their server will read them between MULTI and EXEC.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) count: u32,
    /// Their keys.
    pub(crate) keys: Vec<QueuedKey>,
    /// Whether one of them was wrong, so that none will run.
    pub(crate) spoilt: bool,
}

/// Where a key of a queued request is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedKey {
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Whether it may be written.
    pub(crate) written: bool,
    /// Whether it may be read.
    pub(crate) read: bool,
}

impl Transaction {
    /// A key's bytes.
    pub(crate) fn key(&self, key: QueuedKey) -> &[u8] {
        let start = key.start as usize;
        self.bytes.get(start..start + key.len as usize).unwrap_or(&[])
    }
}
