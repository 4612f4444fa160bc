//! BCAST: clients that are told of all keys with their prefixes, whoever has read them. One connection per server and worker
//! is told of all that any of them wants, and each gets what is its own.
//!
//! CLIENT TRACKING ON BCAST is answered once all servers that can be asked have confirmed it: what changes after that is
//! told. A server that is asked again later may have changed meanwhile, which its clients are told when it confirms.

use super::Tracker;
use super::tell::{FORGET_ALL, changed};
use crate::core::Core;
use crate::deadline::NEVER;
use crate::id::{ClientId, ConnId, Id};
use crate::limits::{BROADCAST_PREFIXES, FEED_LOOK_US, SLOWEST_RECONNECT_US, reconnect_wait_us};
use crate::pinned::{Pin, Purpose};
use crate::request::{Request, Target};
use crate::server_conn::{Care, Phase};
use crate::slab::NONE;
use std::collections::{BTreeMap, BTreeSet};
use wire::resp::{encode, reply as inside};

/// A pool's clients that are told of prefixes.
#[derive(Debug)]
pub(super) struct Broadcast {
    /// Who wants which.
    wanted: BTreeMap<Box<[u8]>, BTreeSet<u32>>,
    /// What servers are asked for: no two of them overlap.
    cover: BTreeSet<Box<[u8]>>,
    /// How often that has changed.
    version: u32,
    sources: Vec<Source>,
    /// Requests that are answered once all is confirmed.
    waiting: Vec<(ClientId, Id<Request>)>,
}

/// A server that tells of its keys.
#[derive(Clone, Copy, Debug)]
struct Source {
    /// The connection, or `NONE`.
    conn: u32,
    /// Whether it has confirmed what it was asked last.
    confirmed: bool,
    /// Whether something may have been missed since it last had.
    gap: bool,
    /// Attempts in a row that confirmed nothing.
    failures: u32,
    /// When to try again, in microseconds; or [`NEVER`].
    retry_at_us: u64,
}

impl Broadcast {
    pub(super) fn new(servers: usize) -> Broadcast {
        let source = Source { conn: NONE, confirmed: false, gap: false, failures: 0, retry_at_us: NEVER };
        Broadcast {
            wanted: BTreeMap::new(),
            cover: BTreeSet::new(),
            version: 0,
            sources: vec![source; servers],
            waiting: Vec::new(),
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether all that was asked is confirmed, as far as there is a connection.
    fn is_settled(&self) -> bool {
        self.sources.iter().all(|source| source.conn == NONE || source.confirmed)
    }

    /// Makes room for `prefixes` in the cover; answers what is new, or nothing where it had to be made anew.
    fn widen(&mut self, prefixes: &[&[u8]]) -> Option<Vec<Box<[u8]>>> {
        let covered = |prefix: &[u8]| self.cover.iter().any(|wide| prefix.starts_with(wide));
        let new: Vec<&[u8]> = prefixes.iter().copied().filter(|prefix| !covered(prefix)).collect();
        let wider = |prefix: &&[u8]| self.cover.iter().any(|narrow| narrow.starts_with(prefix));
        // Of one client's prefixes the empty one may overlap others.
        let alone = new.len() == 1 || !new.contains(&b"".as_slice());
        if !new.iter().any(wider) && alone && self.cover.len() + new.len() <= BROADCAST_PREFIXES {
            let new: Vec<Box<[u8]>> = new.into_iter().map(Box::from).collect();
            self.cover.extend(new.iter().cloned());
            return Some(new);
        }
        self.cover.clear();
        let mut last: Option<&[u8]> = None;
        for prefix in self.wanted.keys() {
            if last.is_none_or(|last| !prefix.starts_with(last)) {
                self.cover.insert(prefix.clone());
                last = Some(prefix);
            }
        }
        if self.cover.len() > BROADCAST_PREFIXES {
            self.cover = BTreeSet::from([Box::default()]);
        }
        None
    }
}

/// Asks a server for prefixes; all keys have the empty one.
fn ask<'a>(prefixes: impl ExactSizeIterator<Item = &'a Box<[u8]>>, out: &mut Vec<u8>) {
    let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON", b"BCAST"];
    for prefix in prefixes.filter(|prefix| !prefix.is_empty()) {
        words.extend([b"PREFIX".as_slice(), prefix]);
    }
    encode::request(words, out);
}

impl Core {
    /// A client is to be told of these prefixes.
    pub(super) fn join_broadcast(&mut self, c: u32, prefixes: &[&[u8]], bytes: usize) {
        let pool = self.replies.clients[c].pool;
        let state = &mut self.tracking.pool(pool).broadcast;
        let first = state.wanted.is_empty();
        for prefix in prefixes {
            state.wanted.entry(Box::from(*prefix)).or_default().insert(c);
        }
        let new = state.widen(prefixes);
        if new.as_ref().is_none_or(|new| !new.is_empty()) {
            state.version = state.version.wrapping_add(1);
            for server in 0..state.sources.len() as u32 {
                self.ask_more(pool, server, new.as_deref());
            }
        }
        self.open_sources(pool, !first);
        let state = &mut self.tracking.pool(pool).broadcast;
        if state.is_settled() {
            return self.answer_now(c, |out| encode::simple(b"OK", out));
        }
        let request = self.replies.ask(c, bytes);
        let waiting = (self.replies.clients.id(c), self.replies.requests.id(request));
        self.tracking.pool(pool).broadcast.waiting.push(waiting);
        self.replies.clients[c].in_order = true;
    }

    /// More is wanted of a server that tells of something: of these prefixes, or of others than before.
    fn ask_more(&mut self, pool: u32, server: u32, new: Option<&[Box<[u8]>]>) {
        let state = &mut self.tracking.pool(pool).broadcast;
        let (version, cover) = (state.version, state.cover.clone());
        let source = &mut state.sources[server as usize];
        let s = source.conn;
        if s == NONE {
            return;
        }
        source.confirmed = false;
        match new {
            Some(new) => self.send(s, Target::Cover(version), Care::default(), |out| ask(new.iter(), out)),
            None => {
                source.gap = true;
                let care = Care { skip: 1, ..Care::default() };
                self.send(s, Target::Cover(version), care, |out| {
                    encode::request([b"CLIENT".as_slice(), b"TRACKING", b"OFF"], out);
                    ask(cover.iter(), out);
                });
            }
        }
    }

    /// Begins connections to all servers that tell nothing yet. `gap`: somebody has been told that all is well.
    fn open_sources(&mut self, pool: u32, gap: bool) {
        let view = &self.topology.pools[pool as usize];
        let count = if view.detour { view.servers.len() } else { view.own };
        for server in 0..count as u32 {
            let view = &self.topology.pools[pool as usize].servers[server as usize];
            let wanted = view.live && !view.drained;
            let now = self.now.mono_us;
            let source = &mut self.tracking.pool(pool).broadcast.sources[server as usize];
            let waits = source.retry_at_us != NEVER && source.retry_at_us > now;
            if !wanted || source.conn != NONE || waits {
                continue;
            }
            source.gap |= gap;
            if self.check_server(pool, server).is_ok() {
                self.open_source(pool, server);
            } else {
                self.retry_source(pool, server, SLOWEST_RECONNECT_US);
            }
        }
    }

    fn open_source(&mut self, pool: u32, server: u32) {
        let s = self.open_conn(pool, server, None, crate::databases::Mode { db: 0, resp3: true });
        let conn = &mut self.conns[s];
        (conn.lane, conn.pin) = (false, Some(Pin { client: NONE, purpose: Purpose::Broadcast }));
        let state = &mut self.tracking.pool(pool).broadcast;
        let (version, cover) = (state.version, state.cover.clone());
        let source = &mut state.sources[server as usize];
        (source.conn, source.confirmed, source.retry_at_us) = (s, false, NEVER);
        self.arm_idle(s, self.now.mono_us.saturating_add(FEED_LOOK_US));
        self.send(s, Target::Cover(version), Care::default(), |out| ask(cover.iter(), out));
    }

    fn retry_source(&mut self, pool: u32, server: u32, wait_us: u64) {
        let at = self.now.mono_us.saturating_add(wait_us);
        self.tracking.pool(pool).broadcast.sources[server as usize].retry_at_us = at;
        self.tracking.retry_at_us = self.tracking.retry_at_us.min(at);
    }

    /// Makes the connections again whose time has come.
    pub(crate) fn retry_broadcasts(&mut self) {
        let now = self.now.mono_us;
        if self.tracking.retry_at_us > now {
            return;
        }
        self.tracking.retry_at_us = NEVER;
        for pool in 0..self.tracking.pools.len() as u32 {
            if !self.tracking.pool(pool).broadcast.is_unused() {
                self.open_sources(pool, true);
            }
            let sources = &mut self.tracking.pool(pool).broadcast.sources;
            // A server that is not to be asked now has had its time: it is asked when that changes.
            sources.iter_mut().filter(|source| source.retry_at_us <= now).for_each(|s| s.retry_at_us = NEVER);
            let next = sources.iter().map(|source| source.retry_at_us).min().unwrap_or(NEVER);
            self.tracking.retry_at_us = self.tracking.retry_at_us.min(next);
        }
    }

    /// A server answers again: there is no need to wait any longer.
    pub(crate) fn hurry_broadcast(&mut self, pool: u32, server: u32) {
        let state = &self.tracking.pool(pool).broadcast;
        let (unused, conn) = (state.is_unused(), state.sources[server as usize].conn);
        if conn != NONE && self.conns[conn].phase == Phase::Waiting {
            self.connect(conn);
        } else if conn == NONE && !unused {
            self.retry_source(pool, server, 0);
        }
    }

    /// A server has answered what it was asked to tell of. Nothing when the connection is gone.
    #[cold]
    #[inline(never)] // out of what every reply passes
    pub(crate) fn take_cover(&mut self, s: u32, version: u32, reply: &[u8]) -> Option<()> {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        if reply.starts_with(b"-") {
            let id: ConnId = self.conns.id(s);
            self.refuse_waiting(pool, reply);
            // With the last client all connections may be gone.
            if let Some(s) = self.conns.live(id) {
                self.discard_conn(s);
            }
            return None;
        }
        let state = &mut self.tracking.pool(pool).broadcast;
        if state.version == version {
            let source = &mut state.sources[server as usize];
            (source.confirmed, source.failures) = (true, 0);
            if std::mem::take(&mut source.gap) {
                self.forget_broadcast(pool);
            }
            self.settle_broadcast(pool);
        }
        Some(())
    }

    /// Answers those who wait, if all is confirmed.
    fn settle_broadcast(&mut self, pool: u32) {
        let state = &mut self.tracking.pool(pool).broadcast;
        if !state.is_settled() {
            return;
        }
        for (_, request) in std::mem::take(&mut state.waiting) {
            if let Some(request) = self.replies.requests.live(request) {
                self.replies.answer(request, |out| encode::simple(b"OK", out));
            }
        }
    }

    /// A server does not tell of its keys, in its own words: who waits for it is not told of anything.
    fn refuse_waiting(&mut self, pool: u32, reply: &[u8]) {
        for (client, request) in std::mem::take(&mut self.tracking.pool(pool).broadcast.waiting) {
            if let Some(c) = self.replies.clients.live(client) {
                self.stop_tracking(c);
                self.drop_session_if_empty(c);
            }
            if let Some(request) = self.replies.requests.live(request) {
                self.replies.answer(request, |out| out.extend_from_slice(reply));
            }
        }
    }

    /// A server's connection is gone: what changes there until it has confirmed another is not known.
    pub(crate) fn lose_broadcast(&mut self, s: u32) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let state = &mut self.tracking.pool(pool).broadcast;
        let unused = state.is_unused();
        let source = &mut state.sources[server as usize];
        let failures = source.failures;
        let told = std::mem::take(&mut source.confirmed);
        (source.conn, source.gap, source.failures) = (NONE, !unused, failures.saturating_add(1));
        if unused {
            return;
        }
        let wait = match failures {
            0 => 0,
            more => reconnect_wait_us(more),
        };
        self.retry_source(pool, server, wait);
        if told {
            self.forget_broadcast(pool);
        }
        self.settle_broadcast(pool);
    }

    /// Something may have been missed: all clients that are told of prefixes are to forget what they have.
    fn forget_broadcast(&mut self, pool: u32) {
        let state = &self.tracking.pool(pool).broadcast;
        let waits: BTreeSet<usize> = state.waiting.iter().map(|(client, _)| client.index()).collect();
        let members: BTreeSet<u32> = state.wanted.values().flatten().copied().collect();
        for c in members.iter().filter(|c| !waits.contains(&(**c as usize))) {
            self.tell_to_forget(*c);
        }
        self.count_told(pool, members.len(), FORGET_ALL.len());
    }

    /// Keys have moved between servers, and with them who tells of them.
    pub(super) fn move_broadcasts(&mut self, pool: u32) {
        if self.tracking.pool(pool).broadcast.is_unused() {
            return;
        }
        self.forget_broadcast(pool);
        for server in 0..self.topology.pools[pool as usize].servers.len() as u32 {
            let view = &self.topology.pools[pool as usize].servers[server as usize];
            let wanted = view.live && !view.drained;
            let source = &mut self.tracking.pool(pool).broadcast.sources[server as usize];
            let s = source.conn;
            if wanted {
                source.retry_at_us = NEVER;
            } else if s != NONE {
                self.discard_conn(s);
                self.tracking.pool(pool).broadcast.sources[server as usize].retry_at_us = NEVER;
            }
        }
        self.open_sources(pool, true);
    }

    /// A client is no longer told of prefixes.
    pub(super) fn leave_broadcast(&mut self, c: u32, pool: u32, tracker: &Tracker) {
        let state = &mut self.tracking.pool(pool).broadcast;
        for prefix in &tracker.prefixes {
            if let Some(members) = state.wanted.get_mut(prefix) {
                members.remove(&c);
                if members.is_empty() {
                    state.wanted.remove(prefix);
                }
            }
        }
        let gone = self.replies.clients.id(c);
        let state = &mut self.tracking.pool(pool).broadcast;
        let mut unanswered = Vec::new();
        state.waiting.retain(|(client, request)| {
            unanswered.extend((*client == gone).then_some(*request));
            *client != gone
        });
        for request in unanswered {
            if let Some(request) = self.replies.requests.live(request) {
                self.replies.answer_quietly(request);
            }
        }
        let state = &mut self.tracking.pool(pool).broadcast;
        if !state.is_unused() {
            return;
        }
        state.cover.clear();
        let conns: Vec<u32> = state.sources.iter().map(|source| source.conn).collect();
        for s in conns.into_iter().filter(|s| *s != NONE) {
            self.discard_conn(s);
        }
        for source in &mut self.tracking.pool(pool).broadcast.sources {
            (source.gap, source.failures, source.retry_at_us) = (false, 0, NEVER);
        }
    }

    /// A server tells of keys that have changed.
    pub(crate) fn take_broadcast(&mut self, pool: u32, news: &[u8]) {
        self.memory.note(news.len());
        let mut parts = inside::elements(news).into_iter().flat_map(|(_, parts)| parts);
        if parts.next().and_then(inside::bulk) != Some(b"invalidate") {
            return;
        }
        let Some(what) = parts.next() else { return };
        let Some((_, keys)) = inside::elements(what) else { return self.forget_broadcast(pool) };
        let keys: Vec<&[u8]> = keys.filter_map(inside::bulk).collect();
        let wanted = std::mem::take(&mut self.tracking.pool(pool).broadcast.wanted);
        for (prefix, members) in &wanted {
            let own: Vec<&[u8]> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            if own.is_empty() {
                continue;
            }
            let news = changed(own.into_iter());
            for c in members.iter().copied() {
                if !self.replies.clients[c].resp3 {
                    continue;
                }
                if self.is_blocked(c) {
                    self.replies.tell_now(c, &news);
                }
                self.replies.tell_last(c, &news);
            }
            self.count_told(pool, members.len(), news.len());
        }
        self.tracking.pool(pool).broadcast.wanted = wanted;
    }
}
