//! What clients that track have read, and what becomes of it when servers say that it has changed.

use super::own::Writer;
use super::reads::Read;
use super::tell::{FORGET_ALL, changed};
use super::{Tracker, Wants};
use crate::command::{self, Command, Flags};
use crate::core::Core;
use crate::limits::{FEED_LOOK_US, TRACKED_KEYS_PER_REQUEST};
use crate::request::{Step, Target};
use crate::server_conn::{Care, Phase};
use crate::session::Transaction;
use crate::slab::NONE;
use crate::topology::{PoolView, ServerView};
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;
use wire::resp::reply as inside;

impl Core {
    pub(super) fn tracker(&self, c: u32) -> Option<&Tracker> {
        self.replies.clients[c].session.as_ref()?.tracking.as_deref()
    }

    pub(super) fn tracker_mut(&mut self, c: u32) -> Option<&mut Tracker> {
        self.replies.clients[c].session.as_mut()?.tracking.as_deref_mut()
    }

    /// Whether what a client reads goes over connections on which servers say what of it changes.
    pub(crate) fn is_reader(&self, c: u32) -> bool {
        self.tracker(c).is_some_and(|tracker| tracker.wants != Wants::Broadcast)
    }

    /// A client that tracks has asked something, which is under way if it is not answered yet.
    pub(crate) fn remember_request(&mut self, c: u32, command: Option<&'static Command>, args: ArgView<'_>) {
        let client = &self.replies.clients[c];
        let Some(session) = &client.session else { return };
        let Some(tracker) = &session.tracking else { return };
        if session.transaction.is_some() {
            return;
        }
        // A connection of the client's own (a large value, a wait) is one on which nobody says what changes.
        let (tail, alone) = (client.tail, client.in_order);
        let reads = |command: &&Command| command.flags.has(Flags::READONLY) || command.script().is_some();
        if tail != NONE
            && client.resp3
            && tracker.wants_reads()
            && let Some(command) = command.filter(reads)
        {
            let mut keys = std::mem::take(&mut self.scratch.keys);
            if command::keys(command, args, &mut keys).is_ok() && !keys.is_empty() {
                let keys = keys.iter().map(|key| args.get(*key as usize));
                self.remember(c, tail, keys, alone);
            }
            self.scratch.keys = keys;
        }
        if tail != NONE
            && let Some(command) = command
        {
            self.note_own_request(c, command, args);
        }
        // CACHING is about the next command that is none of CLIENT's, or the next transaction.
        if command.is_none_or(|command| !command.name.starts_with("CLIENT "))
            && let Some(tracker) = self.tracker_mut(c)
        {
            tracker.caching = false;
        }
    }

    /// A transaction is under way. `alone`: over its client's own connection.
    pub(crate) fn remember_transaction(&mut self, c: u32, request: u32, queued: &Transaction, alone: bool) {
        let resp3 = self.replies.clients[c].resp3;
        if resp3 && self.tracker(c).is_some_and(|tracker| tracker.wants_reads()) {
            let keys: Vec<&[u8]> =
                queued.keys.iter().filter(|key| key.read).map(|key| queued.key(*key)).collect();
            self.remember(c, request, keys.into_iter(), alone);
        }
    }

    fn remember<'a>(
        &mut self,
        c: u32,
        request: u32,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        untold: bool,
    ) {
        let (client, pool) = (self.replies.clients.id(c), self.replies.clients[c].pool);
        if keys.len() == 0 || self.replies.requests.get(request).is_none() {
            return;
        }
        if keys.len() > TRACKED_KEYS_PER_REQUEST {
            return self.replies.tell_behind(request, FORGET_ALL);
        }
        if untold {
            return self.replies.tell_behind(request, &changed(keys));
        }
        let read = Read { client, request: self.replies.requests.id(request) };
        if let Some(tracker) = self.tracker_mut(c) {
            tracker.has_read = true;
        }
        let reads = &mut self.tracking.pool(pool).reads;
        keys.for_each(|key| reads.add(key, read));
        while let Some(key) = self.tracking.pool(pool).reads.surplus() {
            self.tell_readers(pool, &key, None);
        }
    }

    /// A server says that keys have changed, on a connection over which they were read.
    #[cold]
    pub(crate) fn take_invalidation(&mut self, s: u32, news: &[u8]) {
        let (pool, slot) = (self.conns[s].pool, self.conns[s].slot);
        self.memory.note(news.len());
        let mut parts = inside::elements(news).into_iter().flat_map(|(_, parts)| parts);
        if parts.next().and_then(inside::bulk) != Some(b"invalidate") {
            return;
        }
        let Some(what) = parts.next() else { return };
        match inside::elements(what) {
            Some((_, keys)) => {
                for key in keys.filter_map(inside::bulk) {
                    self.tell_readers(pool, key, self.writer_of(s, key));
                }
            }
            // The server was emptied. As redis does, who has read nothing is told, too.
            None => {
                self.forget_all(pool, |core, c| slot.is_none_or(|slot| core.replies.clients[c].slot == slot))
            }
        }
    }

    /// Tells all who have read a key that it has changed, but for whom has done it and does not want to know.
    fn tell_readers(&mut self, pool: u32, key: &[u8], writer: Option<Writer>) {
        let readers = self.tracking.pool(pool).reads.take(key);
        if readers.is_empty() {
            return;
        }
        let news = changed(std::iter::once(key));
        let mut told = 0;
        for read in readers {
            let Some(c) = self.replies.clients.live(read.client) else { continue };
            if !self.replies.clients[c].resp3 || !self.is_reader(c) {
                continue;
            }
            let under_way = self.replies.requests.live(read.request);
            if let Some(writer) = writer.filter(|writer| writer.client == read.client) {
                // As redis does, its later changes are not told until it is read again; which it may be.
                if under_way.is_some() || !writer.just_now {
                    self.tracking.pool(pool).reads.add(key, read);
                }
                continue;
            }
            match under_way {
                Some(request) => self.replies.tell_behind(request, &news),
                None => self.replies.tell_now(c, &news),
            }
            told += 1;
        }
        self.count_told(pool, told, news.len());
    }

    pub(super) fn count_told(&mut self, pool: u32, clients: usize, bytes: usize) {
        self.count_pool(pool, PoolMetric::Invalidations).add(clients as u64);
        self.memory.note(bytes.saturating_mul(clients));
    }

    /// Tells those of a pool's readers to forget all whom it concerns.
    fn forget_all(&mut self, pool: u32, concerns: impl Fn(&Core, u32) -> bool) {
        let readers = &self.tracking.pools[pool as usize].readers;
        let readers: Vec<u32> = readers.iter().copied().filter(|c| concerns(self, *c)).collect();
        for c in &readers {
            self.tell_to_forget(*c);
        }
        self.count_told(pool, readers.len(), FORGET_ALL.len());
    }

    /// Tells a client to forget all, also what is under way to it.
    pub(super) fn tell_to_forget(&mut self, c: u32) {
        if !self.replies.clients[c].resp3 {
            return;
        }
        if self.is_blocked(c) {
            self.replies.tell_now(c, FORGET_ALL);
        }
        self.replies.tell_last(c, FORGET_ALL);
        if let Some(tracker) = self.tracker_mut(c) {
            tracker.has_read = false;
        }
    }

    /// Changes of what was read may have been missed: whoever has read anything is told to forget it.
    #[cold]
    pub(crate) fn forget_reads(&mut self, pool: u32) {
        self.forget_all(pool, |core, c| core.tracker(c).is_some_and(|tracker| tracker.has_read));
        self.tracking.pool(pool).reads.clear();
    }

    /// Keys have moved between servers: forgets what was read in pools in which they did.
    #[cold]
    pub(crate) fn move_readers(&mut self, old: &[PoolView]) {
        for pool in self.tracking.used.iter().copied().collect::<Vec<u32>>() {
            let views = (old.get(pool as usize), self.topology.pools.get(pool as usize));
            if let (Some(old), Some(new)) = views
                && has_changed(old, new)
            {
                self.forget_reads(pool);
                self.move_broadcasts(pool);
            }
        }
    }

    /// Has a server say on this connection what changes of that which is read over it.
    #[cold]
    pub(crate) fn track_conn(&mut self, s: u32) {
        self.conns[s].tracked = Some(Box::default());
        self.append(s, |out| encode::request([b"CLIENT".as_slice(), b"TRACKING", b"ON"], out));
        self.queued(s, Target::Handshake(Step::Tracking), Care::default());
        self.arm_idle(s, self.now.mono_us.saturating_add(FEED_LOOK_US));
    }

    /// Nothing more is heard on a connection over which clients have read what they keep.
    pub(crate) fn lose_tracked(&mut self, s: u32) {
        if self.conns[s].tracked.take().is_some() && self.conns[s].phase == Phase::Ready {
            self.forget_reads(self.conns[s].pool);
        }
    }

    /// A connection on which servers say what changes has not been used for a while. Answers whether it has to stay, and
    /// then sees to it that its server is there: clients that find everything in their caches ask nothing.
    pub(crate) fn look_after_tracked(&mut self, s: u32) -> bool {
        let pool = self.conns[s].pool;
        if self.conns[s].is_broadcast() {
            if self.tracking.pool(pool).broadcast.is_unused() {
                return false;
            }
        } else if self.conns[s].tracked.is_none()
            || self.tracking.pool(pool).readers.is_empty()
            || self.is_in_deserted(s)
        {
            return false;
        }
        self.check_silence(s);
        true
    }
}

/// Whether servers of a pool stand otherwise than they did.
fn has_changed(old: &PoolView, new: &PoolView) -> bool {
    let stands = |server: &ServerView| (server.live, server.drained, server.returning);
    !old.servers.iter().map(stands).eq(new.servers.iter().map(stands))
}
