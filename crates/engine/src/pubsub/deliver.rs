//! Messages on their way to clients: between whole replies, in each client's protocol.

use super::Kind;
use crate::core::Core;
use crate::limits::SMALL_BUFFER_BYTES;
use crate::replies::Replies;
use crate::request::State;
use crate::slab::NONE;
use stats::PoolMetric;

impl Core {
    /// A message came; `news` is all of it, as a RESP2 array.
    pub(super) fn deliver(&mut self, pool: u32, kind: Kind, name: &[u8], news: &[u8]) {
        let Some(topic) = self.pubsub.find(pool, kind, name) else { return };
        let members = &self.pubsub.topics[topic].members;
        for c in members {
            self.replies.push(*c, news);
        }
        let count = members.len();
        self.count_pool(pool, PoolMetric::Messages).add(count as u64);
        self.memory.note(news.len().saturating_mul(count));
    }

    /// A large reply is over: what came meanwhile goes out.
    pub(crate) fn flush_held(&mut self, c: u32) {
        let Some(client) = self.replies.clients.get_mut(c) else { return };
        let Some(own) = client.session.as_mut().and_then(|session| session.subscriptions.as_mut()) else {
            return;
        };
        let held = std::mem::take(&mut own.held);
        if !held.is_empty() {
            client.parked -= held.len();
            client.outbox.buffer(&mut self.replies.buffers).extend_from_slice(&held);
            self.replies.wake_client(c);
            self.drop_session_if_empty(c);
        }
    }
}

impl Replies {
    /// Gives a client a message, but not within a reply.
    fn push(&mut self, c: u32, news: &[u8]) {
        let client = &mut self.clients[c];
        if client.overflowed {
            return;
        }
        if client.held() >= client.output_max {
            // It is closed at the end of the tick.
            client.overflowed = true;
            self.overflowed.push(c);
            return;
        }
        let within = client.head != NONE && matches!(self.requests[client.head].state, State::Flowing(_));
        let own = client.session.as_mut().and_then(|session| session.subscriptions.as_mut());
        let out = match own {
            Some(own) if within => {
                client.parked += news.len();
                &mut own.held
            }
            // Thousands may get it at once: a small message takes a small buffer.
            _ => client.outbox.buffer_for(news.len().max(SMALL_BUFFER_BYTES), &mut self.buffers),
        };
        out.push(if client.resp3 { b'>' } else { b'*' });
        out.extend_from_slice(news.get(1..).unwrap_or(&[]));
        if !within {
            self.wake_client(c);
        }
    }
}
