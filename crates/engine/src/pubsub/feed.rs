//! The connections on which messages come: one per server and worker while anybody is subscribed there.
//!
//! They speak RESP2 whatever clients speak: all that comes on them says by its first word what it is, and servers that know
//! no RESP3 serve as well. When one breaks it is made again, later each time that it confirms nothing, and
//! all its topics are subscribed anew.

use super::{Asked, Kind};
use crate::core::Core;
use crate::databases::Mode;
use crate::error::Cause;
use crate::limits::{FEED_LOOK_US, SLOWEST_RECONNECT_US, reconnect_wait_us};
use crate::pinned::{Pin, Purpose};
use crate::request::Target;
use crate::server_conn::{Begun, Care, Phase, Scan};
use crate::slab::NONE;
use wire::resp::encode;
use wire::resp::reply as resp;

impl Core {
    /// Begins a connection to a server and asks there for all that is wanted of it.
    pub(super) fn open_feed(&mut self, pool: u32, server: u32) {
        let s = self.open_conn(pool, server, None, Mode::default());
        let conn = &mut self.conns[s];
        conn.lane = false;
        conn.pin = Some(Pin { client: NONE, purpose: Purpose::Listen });
        conn.scan = Scan::Feed(Default::default());
        self.pubsub.feed(pool, server).conn = s;
        self.arm_idle(s, self.now.mono_us.saturating_add(FEED_LOOK_US));
        self.ask_feed(s);
    }

    /// Asks for all that is wanted of a server and not asked for.
    fn ask_feed(&mut self, s: u32) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let mut wanted = Vec::new();
        for (t, topic) in self.pubsub.topics.iter().filter(|(_, topic)| topic.pool == pool) {
            let mine = topic.sources.iter().position(|source| source.server == server);
            wanted.extend(mine.filter(|i| topic.sources[*i].state == Asked::No).map(|i| (t, i)));
        }
        for (topic, source) in wanted {
            self.ask_source(s, topic, source);
        }
    }

    /// A server's connection is gone, and with it what was subscribed there.
    pub(crate) fn lose_feed(&mut self, s: u32) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let topics = self.pubsub.topics.iter_mut();
        let sources = topics.filter(|topic| topic.pool == pool).flat_map(|topic| &mut topic.sources);
        for source in sources.filter(|source| source.server == server) {
            source.state = Asked::No;
        }
        let feed = self.pubsub.feed(pool, server);
        feed.conn = NONE;
        let failures = feed.failures;
        feed.failures = failures.saturating_add(1);
        let wait = match failures {
            0 => 0,
            more => reconnect_wait_us(more),
        };
        if feed.topics > 0 {
            self.pubsub.retries.push((self.now.mono_us.saturating_add(wait), pool, server));
        }
    }

    /// A server answers again: there is no need to wait any longer.
    pub(crate) fn hurry_feed(&mut self, pool: u32, server: u32) {
        let feed = *self.pubsub.feed(pool, server);
        if feed.conn != NONE && self.conns[feed.conn].phase == Phase::Waiting {
            self.connect(feed.conn);
        } else if feed.conn == NONE && feed.topics > 0 {
            self.pubsub.retries.push((self.now.mono_us, pool, server));
        }
    }

    /// Makes the connections again whose time has come.
    pub(crate) fn retry_feeds(&mut self) {
        let now = self.now.mono_us;
        while let Some(index) = self.pubsub.retries.iter().position(|(at, _, _)| *at <= now) {
            let (_, pool, server) = self.pubsub.retries.swap_remove(index);
            let feed = *self.pubsub.feed(pool, server);
            if feed.topics == 0 {
                continue;
            }
            match self.check_server(pool, server) {
                _ if feed.conn != NONE => self.ask_feed(feed.conn),
                Ok(()) => self.open_feed(pool, server),
                Err(cause) => {
                    // What is known to be down is looked at elsewhere; this is in case nobody tells.
                    self.pubsub.retries.push((now.saturating_add(SLOWEST_RECONNECT_US), pool, server));
                    self.fail_waiting(pool, server, cause);
                }
            }
        }
    }

    /// Answers those with an error who wait for a server that cannot be asked.
    fn fail_waiting(&mut self, pool: u32, server: u32, cause: Cause) {
        let reply = self.cause_reply(pool, cause);
        let topics = self.pubsub.topics.iter().filter(|(_, topic)| topic.pool == pool);
        let here = topics.filter(|(_, topic)| {
            !topic.waiting.is_empty() && topic.sources.iter().any(|source| source.server == server)
        });
        let here: Vec<_> = here.map(|(t, _)| self.pubsub.topics.id(t)).collect();
        here.into_iter().for_each(|id| self.topic_failed(id, &reply));
    }

    /// Something came on a connection that answers no request. Nothing when the connection is gone.
    #[cold]
    pub(crate) fn take_news(&mut self, s: u32, news: &[u8]) -> Option<()> {
        if !self.conns[s].is_feed() {
            let conn = &self.conns[s];
            match conn.is_broadcast() {
                true => self.take_broadcast(conn.pool, news),
                false => self.take_invalidation(s, news),
            }
            return Some(());
        }
        let mut parts = resp::elements(news).into_iter().flat_map(|(_, parts)| parts);
        let word = parts.next().and_then(resp::bulk).unwrap_or(b"");
        let name = parts.next().and_then(resp::bulk).unwrap_or(b"");
        let kind = match word {
            b"message" => Kind::Channel,
            b"pmessage" => Kind::Pattern,
            b"smessage" => Kind::Shard,
            _ => return self.take_confirmation(s, word, name),
        };
        self.deliver(self.conns[s].pool, kind, name, news);
        Some(())
    }

    fn take_confirmation(&mut self, s: u32, word: &[u8], name: &[u8]) -> Option<()> {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let answered = match self.conns[s].take_begun() {
            Begun::Taken(answered) => Some(answered),
            Begun::Skipped | Begun::Nothing => None,
        };
        let fits = match answered.as_ref().map(|answered| answered.entry.target) {
            Some(Target::Topic(id)) => self.pubsub.topics.live(id).is_none_or(|t| {
                let topic = &self.pubsub.topics[t];
                word == topic.kind.subscribed() && *topic.name == *name
            }),
            Some(Target::Nobody) => {
                matches!(word, b"unsubscribe" | b"punsubscribe" | b"sunsubscribe" | b"pong")
            }
            _ => false,
        };
        let Some(answered) = answered else { return self.lose_nonsense(s) };
        self.note_answer(pool as usize, server as usize, &answered, true);
        if !fits {
            // Somebody else has changed what is subscribed here, or it is no pub/sub at all.
            self.fail(config::Protocol::Redis, answered.entry.target, Cause::InvalidReply.text());
            return self.lose_nonsense(s);
        }
        if let Target::Topic(id) = answered.entry.target {
            self.topic_confirmed(id, server);
        }
        Some(())
    }

    /// Deals with requests on such a connection that take too long: who waits reads an error, and a server that says
    /// nothing at all is tried on another connection.
    pub(crate) fn expire_feed(&mut self, s: u32) {
        let Some(timeout) = self.timeout_us(s) else { return };
        let (now, conn) = (self.now.mono_us, &self.conns[s]);
        let due = now.saturating_sub(timeout);
        let overdue = conn.queue.front().is_some_and(|entry| entry.at_us <= due);
        if overdue && (conn.phase != Phase::Ready || conn.heard_us <= due) {
            return self.lose_conn(s, Cause::TimedOut);
        }
        let mut next = conn.queue.iter().map(|entry| entry.at_us).find(|at| *at > due);
        let mut late = Vec::new();
        for entry in conn.queue.iter().take_while(|entry| entry.at_us <= due) {
            let Target::Topic(id) = entry.target else { continue };
            let Some(t) = self.pubsub.topics.live(id) else { continue };
            for call in &self.pubsub.topics[t].waiting {
                let at_us = self.pubsub.calls[*call].at_us;
                if at_us <= due {
                    late.push(self.pubsub.calls.id::<super::Call>(*call))
                } else {
                    next = Some(next.map_or(at_us, |next| next.min(at_us)))
                }
            }
        }
        let reply = self.cause_reply(self.conns[s].pool, Cause::TimedOut);
        for call in late {
            if let Some(call) = self.pubsub.calls.live(call) {
                self.fail_call(call, &reply);
            }
        }
        if overdue || next.is_some() {
            self.arm(s, next.unwrap_or(now));
        }
    }

    /// Closes a connection that nobody needs, or sees to it that its server is there.
    pub(crate) fn look_after_feed(&mut self, s: u32) {
        let conn = &self.conns[s];
        let (pool, server, idle) = (conn.pool, conn.server, conn.queue.is_empty());
        if self.pubsub.feed(pool, server).topics == 0 && idle {
            return self.discard_conn(s);
        }
        self.check_silence(s);
    }

    /// Asks a server that has said nothing for long on a connection of which nobody asks much whether it is there, and
    /// gives the connection up when it does not answer. Looks again later.
    pub(crate) fn check_silence(&mut self, s: u32) {
        let (now, conn) = (self.now.mono_us, &self.conns[s]);
        let asked = conn.queue.front().map(|entry| entry.at_us);
        let silent = conn.phase == Phase::Ready && conn.heard_us.saturating_add(FEED_LOOK_US) <= now;
        if silent && asked.is_some_and(|at| at.saturating_add(FEED_LOOK_US) <= now) {
            return self.lose_conn(s, Cause::TimedOut);
        }
        if silent && asked.is_none() {
            self.send(s, Target::Nobody, Care::default(), |out| encode::request([b"PING".as_slice()], out));
        }
        self.arm_idle(s, now.saturating_add(FEED_LOOK_US));
    }
}
