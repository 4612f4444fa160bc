//! A client's SUBSCRIBE and its like, from the request until all of it is confirmed: it is answered as a whole, with all
//! confirmations or with one error and no subscription.

use super::{Call, Kind, Subscriptions};
use crate::core::Core;
use crate::limits::{NAMES_BYTES, SMALL_BUFFER_BYTES, SUBSCRIPTIONS_PER_CLIENT, SUBSCRIPTIONS_PER_WORKER};
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

impl Core {
    /// Subscribes a client. `false`: it is to be read again when all that the client asked before is answered.
    pub(crate) fn subscribe(&mut self, c: u32, kind: Kind, args: ArgView<'_>) -> bool {
        let client = &self.replies.clients[c];
        let own = client.session.as_ref().and_then(|session| session.subscriptions.as_ref());
        let calls = own.map_or(0, |own| own.calls.len());
        // A confirmation must not wait behind another reply: messages follow it at once.
        if client.queued as usize != calls || client.noreplies > 0 {
            return false;
        }
        if let Err(text) = self.check_room(own.map(|own| &**own), args) {
            self.count_client(c, PoolMetric::ForwardError);
            self.answer_now(c, |out| encode::error(text.as_bytes(), out));
            return true;
        }
        let (pool, at_us) = (client.pool, self.now.mono_us);
        let request = self.replies.ask(c, args.bytes().len());
        let call = Call {
            client: c,
            request,
            kind,
            topics: Vec::with_capacity(args.len() - 1),
            outstanding: 0,
            at_us,
            failed: None,
        };
        let call = self.pubsub.calls.insert(call);
        self.session(c).subscriptions.get_or_insert_default().calls.push_back(call);
        for name in args.iter().skip(1) {
            let topic = self.topic(pool, kind, name);
            self.pubsub.topics[topic].pending += 1;
            self.pubsub.subscriptions += 1;
            self.pubsub.calls[call].topics.push(topic);
            match self.ask_sources(topic) {
                Ok(true) => {}
                Ok(false) => {
                    self.pubsub.topics[topic].waiting.push(call);
                    self.pubsub.calls[call].outstanding += 1;
                }
                Err(cause) => {
                    let reply = self.cause_reply(pool, cause);
                    self.fail_call(call, &reply);
                    return true;
                }
            }
        }
        self.finish_calls(c);
        true
    }

    /// Whether there is room for as many subscriptions as a request asks for.
    fn check_room(&self, own: Option<&Subscriptions>, args: ArgView<'_>) -> Result<(), String> {
        let asked = args.len() - 1;
        let have = own.map_or(0, |own| {
            let calls = own.calls.iter().map(|call| self.pubsub.calls[*call].topics.len());
            own.topics.len() + calls.sum::<usize>()
        });
        if have + asked > SUBSCRIPTIONS_PER_CLIENT {
            return Err(format!("ERR a client may have {SUBSCRIPTIONS_PER_CLIENT} subscriptions"));
        }
        let bytes = self.pubsub.name_bytes.saturating_add(args.bytes().len());
        if self.pubsub.subscriptions + asked > SUBSCRIPTIONS_PER_WORKER || bytes > NAMES_BYTES {
            return Err("ERR the proxy has no room for more subscriptions".to_owned());
        }
        Ok(())
    }

    /// Answers a client's calls that are confirmed or have failed, the oldest first.
    pub(super) fn finish_calls(&mut self, c: u32) {
        loop {
            let Some(client) = self.replies.clients.get_mut(c) else { return };
            let Some(own) = client.session.as_mut().and_then(|session| session.subscriptions.as_mut()) else {
                return;
            };
            let resp3 = client.resp3;
            let Some(&call) = own.calls.front() else { return };
            let found = &self.pubsub.calls[call];
            if found.outstanding > 0 && found.failed.is_none() {
                return;
            }
            own.calls.pop_front();
            let Some(call) = self.pubsub.calls.remove(call) else { return };
            let mut reply = self.replies.small.take();
            match &call.failed {
                Some(error) => {
                    reply.extend_from_slice(error);
                    self.count_client(c, PoolMetric::ForwardError);
                }
                None => {
                    for topic in &call.topics {
                        self.join(c, *topic);
                        let count = self.subscriptions(c).map_or(0, |own| own.count(call.kind));
                        let name = &self.pubsub.topics[*topic].name;
                        write_change(call.kind.subscribed(), Some(name), count, resp3, &mut reply);
                    }
                }
            }
            self.release_call(&call);
            // It is its client's first: there may be thousands at once, so a small reply takes a small buffer.
            let size = reply.len().max(SMALL_BUFFER_BYTES);
            self.replies.clients[c].outbox.buffer_for(size, &mut self.replies.buffers);
            self.replies.answer(call.request, |out| out.extend_from_slice(&reply));
            self.replies.small.give(reply);
            self.drop_session_if_empty(c);
        }
    }

    fn subscriptions(&self, c: u32) -> Option<&Subscriptions> {
        self.replies.clients[c].session.as_ref()?.subscriptions.as_deref()
    }

    /// A call is over: its topics need not wait for it.
    fn release_call(&mut self, call: &Call) {
        for topic in &call.topics {
            self.pubsub.topics[*topic].pending -= 1;
            self.pubsub.subscriptions -= 1;
        }
        // Some may be there twice.
        for topic in &call.topics {
            if self.pubsub.topics.get(*topic).is_some() {
                self.drop_topic_if_unused(*topic);
            }
        }
    }

    /// A call gets this error for an answer.
    pub(super) fn fail_call(&mut self, call: u32, reply: &[u8]) {
        let Some(found) = self.pubsub.calls.get_mut(call) else { return };
        if found.failed.is_some() {
            return;
        }
        found.failed = Some(reply.to_vec());
        let c = found.client;
        for topic in found.topics.clone() {
            self.pubsub.topics[topic].waiting.retain(|other| *other != call);
        }
        self.finish_calls(c);
    }

    /// A client is no longer subscribed to anything.
    pub(crate) fn drop_subscriptions(&mut self, own: Subscriptions) {
        for (topic, place) in own.topics {
            self.leave(topic, place);
        }
        for index in own.calls {
            let Some(call) = self.pubsub.calls.remove(index) else { continue };
            for topic in &call.topics {
                self.pubsub.topics[*topic].waiting.retain(|other| *other != index);
            }
            self.release_call(&call);
            self.replies.answer_quietly(call.request);
        }
    }

    /// UNSUBSCRIBE and its like, answered at once.
    pub(crate) fn unsubscribe(&mut self, c: u32, kind: Kind, args: ArgView<'_>) {
        let (pool, resp3) = (self.replies.clients[c].pool, self.replies.clients[c].resp3);
        let mut reply = self.replies.small.take();
        let count = |core: &Core| core.subscriptions(c).map_or(0, |own| own.count(kind));
        if args.len() == 1 {
            let own = self.subscriptions(c).into_iter().flat_map(|own| own.topics.keys().copied());
            let own: Vec<u32> = own.filter(|topic| self.pubsub.topics[*topic].kind == kind).collect();
            if own.is_empty() {
                write_change(kind.unsubscribed(), None, count(self), resp3, &mut reply);
            }
            for topic in own {
                let name = self.pubsub.topics[topic].name.clone();
                self.quit_topic(c, topic);
                write_change(kind.unsubscribed(), Some(&name), count(self), resp3, &mut reply);
            }
        }
        for name in args.iter().skip(1) {
            if let Some(topic) = self.pubsub.find(pool, kind, name) {
                self.quit_topic(c, topic);
            }
            write_change(kind.unsubscribed(), Some(name), count(self), resp3, &mut reply);
        }
        self.drop_session_if_empty(c);
        self.answer_now(c, |out| out.extend_from_slice(&reply));
        self.replies.small.give(reply);
    }

    fn quit_topic(&mut self, c: u32, topic: u32) {
        let Some(session) = &mut self.replies.clients[c].session else { return };
        let Some(own) = &mut session.subscriptions else { return };
        if let Some(place) = own.topics.remove(&topic) {
            own.shards -= usize::from(self.pubsub.topics[topic].kind == Kind::Shard);
            self.leave(topic, place);
        }
    }
}

/// What a client reads when its subscriptions have changed.
fn write_change(word: &[u8], name: Option<&[u8]>, count: usize, resp3: bool, out: &mut Vec<u8>) {
    encode::push_header(3, resp3, out);
    encode::bulk(word, out);
    match name {
        Some(name) => encode::bulk(name, out),
        None => encode::null(resp3, out),
    }
    encode::integer(count as i64, out);
}
