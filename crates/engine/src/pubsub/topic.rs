//! What clients are subscribed to, on which servers, and whether those have confirmed it.

use super::{Asked, Kind, Source, Topic, TopicId};
use crate::core::Core;
use crate::error::Cause;
use crate::merge::write_cause;
use crate::request::Target;
use crate::server_conn::Care;
use crate::slab::NONE;
use config::Protocol;
use stats::PoolMetric;
use std::sync::Arc;
use wire::resp::encode;

/// Channels on which a server tells what happens to its own keys begin so.
const EVENTS: [&[u8]; 3] = [b"__keyspace@", b"__keyevent@", b"__subkey"];

impl Core {
    /// The topic of this name, made if need be.
    pub(super) fn topic(&mut self, pool: u32, kind: Kind, name: &[u8]) -> u32 {
        if let Some(topic) = self.pubsub.find(pool, kind, name) {
            return topic;
        }
        let servers = self.sources(pool, kind, name);
        let sources = servers.into_iter().map(|server| Source { server, state: Asked::No });
        let name: Arc<[u8]> = name.into();
        self.pubsub.name_bytes += name.len();
        let topic = Topic {
            pool,
            kind,
            name: name.clone(),
            members: Vec::new(),
            pending: 0,
            waiting: Vec::new(),
            sources: sources.collect(),
        };
        for source in &topic.sources {
            self.pubsub.pools[pool as usize].feeds[source.server as usize].topics += 1;
        }
        let index = self.pubsub.topics.insert(topic);
        self.pubsub.pools[pool as usize].names(kind).insert(name, index);
        index
    }

    /// The servers that a topic's messages come from now.
    fn sources(&mut self, pool: u32, kind: Kind, name: &[u8]) -> Vec<u32> {
        let view = &self.topology.pools[pool as usize];
        let events = EVENTS.iter().any(|start| name.starts_with(start));
        if kind != Kind::Pattern && !view.random && !events {
            return self.place(pool, name).into_iter().collect();
        }
        // Servers that stand by have something to tell while they take others' keys.
        let count = if view.detour { view.servers.len() } else { view.own };
        let asked = |(_, server): &(usize, &crate::topology::ServerView)| server.live && !server.drained;
        let servers = view.servers.iter().take(count).enumerate().filter(asked);
        servers.map(|(index, _)| index as u32).collect()
    }

    /// Has all sources of a topic asked that are not yet; whether all have confirmed it.
    pub(super) fn ask_sources(&mut self, topic: u32) -> Result<bool, Cause> {
        let pool = self.pubsub.topics[topic].pool;
        if self.pubsub.topics[topic].sources.is_empty() {
            return Err(Cause::Refused);
        }
        for index in 0..self.pubsub.topics[topic].sources.len() {
            let Source { server, state } = self.pubsub.topics[topic].sources[index];
            if state != Asked::No {
                continue;
            }
            self.check_server(pool, server)?;
            let s = self.pubsub.feed(pool, server).conn;
            if s == NONE {
                self.open_feed(pool, server);
            } else if self.conns[s].is_full() {
                return Err(Cause::QueueFull);
            } else {
                self.ask_source(s, topic, index);
            }
        }
        Ok(self.pubsub.topics[topic].is_confirmed())
    }

    /// Subscribes to a topic on a server's connection.
    pub(super) fn ask_source(&mut self, s: u32, topic: u32, source: usize) {
        let id = self.pubsub.topics.id(topic);
        let found = &mut self.pubsub.topics[topic];
        found.sources[source].state = Asked::Sent;
        let (word, name) = (found.kind.subscribed(), found.name.clone());
        self.send(s, Target::Topic(id), Care::default(), |out| encode::request([word, &*name], out));
    }

    /// A server has confirmed a subscription.
    pub(super) fn topic_confirmed(&mut self, id: TopicId, server: u32) {
        let Some(t) = self.pubsub.topics.live(id) else { return };
        let topic = &mut self.pubsub.topics[t];
        let pool = topic.pool;
        for source in topic.sources.iter_mut().filter(|source| source.server == server) {
            source.state = Asked::Confirmed;
        }
        self.pubsub.feed(pool, server).failures = 0;
        self.settle_topic(t);
    }

    /// Answers those who wait for a topic, if it is confirmed or has nowhere to come from.
    fn settle_topic(&mut self, t: u32) {
        let topic = &mut self.pubsub.topics[t];
        if topic.sources.is_empty() {
            let id = self.pubsub.topics.id(t);
            return self.topic_failed(id, &self.cause_reply(self.pubsub.topics[t].pool, Cause::Refused));
        }
        if !topic.is_confirmed() {
            return;
        }
        let mut clients = Vec::new();
        for call in std::mem::take(&mut topic.waiting) {
            let call = &mut self.pubsub.calls[call];
            call.outstanding -= 1;
            if call.outstanding == 0 {
                clients.push(call.client);
            }
        }
        clients.into_iter().for_each(|c| self.finish_calls(c));
    }

    /// A server does not subscribe to a topic, in its own words. Who was subscribed before would hear no more, and is
    /// closed so that he learns it.
    pub(crate) fn topic_refused(&mut self, id: TopicId, server: u32, reply: &[u8]) {
        let Some(t) = self.pubsub.topics.live(id) else { return };
        let topic = &mut self.pubsub.topics[t];
        for source in topic.sources.iter_mut().filter(|source| source.server == server) {
            source.state = Asked::No;
        }
        for c in &topic.members {
            self.replies.torn.push(self.replies.clients.id(*c));
        }
        self.topic_failed(id, reply);
    }

    /// Answers all who wait for a topic with this error.
    pub(crate) fn topic_failed(&mut self, id: TopicId, reply: &[u8]) {
        let Some(t) = self.pubsub.topics.live(id) else { return };
        for call in self.pubsub.topics[t].waiting.clone() {
            self.fail_call(call, reply);
        }
    }

    /// What a client reads because of `cause`: in the operator's words, if there are any.
    pub(super) fn cause_reply(&self, pool: u32, cause: Cause) -> Vec<u8> {
        let text = self.topology.pools[pool as usize].error_text.as_deref();
        let mut reply = Vec::new();
        write_cause(
            Protocol::Redis,
            text.filter(|_| cause != Cause::QueueFull).unwrap_or(cause.text()),
            &mut reply,
        );
        reply
    }

    /// A client gets a topic's messages from now on.
    pub(super) fn join(&mut self, c: u32, t: u32) {
        let topic = &mut self.pubsub.topics[t];
        let Some(session) = &mut self.replies.clients[c].session else { return };
        let own = session.subscriptions.get_or_insert_default();
        if own.topics.contains_key(&t) {
            return;
        }
        own.topics.insert(t, topic.members.len() as u32);
        own.shards += usize::from(topic.kind == Kind::Shard);
        topic.members.push(c);
        self.pubsub.subscriptions += 1;
        self.count_pool(self.pubsub.topics[t].pool, PoolMetric::Subscriptions).add(1);
    }

    /// The client at this place of a topic's members gets no more messages.
    pub(super) fn leave(&mut self, t: u32, place: u32) {
        let topic = &mut self.pubsub.topics[t];
        topic.members.swap_remove(place as usize);
        if let Some(moved) = topic.members.get(place as usize)
            && let Some(session) = &mut self.replies.clients[*moved].session
            && let Some(own) = &mut session.subscriptions
        {
            own.topics.insert(t, place);
        }
        if topic.members.len() < topic.members.capacity() / 4 {
            topic.members.shrink_to(topic.members.len() * 2);
        }
        let pool = topic.pool;
        self.pubsub.subscriptions -= 1;
        self.count_pool(pool, PoolMetric::Subscriptions).sub(1);
        self.drop_topic_if_unused(t);
    }

    /// The last client is gone: the servers need not send it any more.
    pub(super) fn drop_topic_if_unused(&mut self, t: u32) {
        let topic = &self.pubsub.topics[t];
        if !topic.members.is_empty() || topic.pending > 0 {
            return;
        }
        let Some(topic) = self.pubsub.topics.remove(t) else { return };
        self.pubsub.name_bytes -= topic.name.len();
        self.pubsub.pools[topic.pool as usize].names(topic.kind).remove(&topic.name);
        for source in topic.sources {
            self.release_source(topic.pool, topic.kind, &topic.name, source);
        }
    }

    fn release_source(&mut self, pool: u32, kind: Kind, name: &[u8], source: Source) {
        let feed = self.pubsub.feed(pool, source.server);
        feed.topics -= 1;
        let s = feed.conn;
        if source.state != Asked::No && s != NONE {
            self.send(s, Target::Nobody, Care::default(), |out| {
                encode::request([kind.unsubscribed(), name], out);
            });
        }
    }

    /// Servers went or came: topics move to where they belong now. What is published meanwhile may be missed.
    pub(crate) fn move_topics(&mut self) {
        let all: Vec<TopicId> = self.pubsub.topics.iter().map(|(t, _)| self.pubsub.topics.id(t)).collect();
        for id in all {
            let Some(t) = self.pubsub.topics.live(id) else { continue };
            let topic = &self.pubsub.topics[t];
            let (pool, kind, name) = (topic.pool, topic.kind, topic.name.clone());
            let wanted = self.sources(pool, kind, &name);
            let had: Vec<u32> = self.pubsub.topics[t].sources.iter().map(|source| source.server).collect();
            if wanted == had {
                continue;
            }
            let mut sources = std::mem::take(&mut self.pubsub.topics[t].sources);
            sources.retain(|source| {
                let stays = wanted.contains(&source.server);
                if !stays {
                    self.release_source(pool, kind, &name, *source);
                }
                stays
            });
            for server in wanted {
                if !had.contains(&server) {
                    sources.push(Source { server, state: Asked::No });
                    self.pubsub.feed(pool, server).topics += 1;
                    self.pubsub.retries.push((self.now.mono_us, pool, server));
                }
            }
            sources.sort_unstable_by_key(|source| source.server);
            self.pubsub.topics[t].sources = sources;
            self.settle_topic(t);
        }
        self.pubsub.retries.sort_unstable();
        self.pubsub.retries.dedup();
    }
}
