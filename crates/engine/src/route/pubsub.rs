//! The commands of pub/sub, and what a client may ask while it is subscribed.

use crate::command::{Command, Local, PubsubCommand, Route};
use crate::core::Core;
use crate::pubsub::Kind;
use stats::PoolMetric;
use wire::args::ArgView;
use wire::resp::encode;

impl Core {
    /// A command of pub/sub. `false`: it is to be read again when all that the client asked is answered.
    pub(crate) fn route_pubsub(&mut self, c: u32, what: PubsubCommand, args: ArgView<'_>) -> bool {
        match what {
            PubsubCommand::Subscribe => return self.subscribe(c, Kind::Channel, args),
            PubsubCommand::Psubscribe => return self.subscribe(c, Kind::Pattern, args),
            PubsubCommand::Ssubscribe => return self.subscribe(c, Kind::Shard, args),
            PubsubCommand::Unsubscribe => self.unsubscribe(c, Kind::Channel, args),
            PubsubCommand::Punsubscribe => self.unsubscribe(c, Kind::Pattern, args),
            PubsubCommand::Sunsubscribe => self.unsubscribe(c, Kind::Shard, args),
            PubsubCommand::Publish => {
                let pool = self.replies.clients[c].pool;
                let server = self.place(pool, args.get(1));
                self.forward(c, server, args.bytes(), false);
            }
        }
        true
    }

    /// Looks at a request of a client that has begun something on the side; nothing: it is like any other.
    #[cold]
    pub(crate) fn session_request(
        &mut self,
        c: u32,
        command: &'static Command,
        args: ArgView<'_>,
    ) -> Option<bool> {
        if self.monitor_may_not(c, command) {
            return Some(true);
        }
        if let Some(done) = self.subscriber_request(c, command, args) {
            return Some(done);
        }
        self.queue_request(c, command, args).then_some(true)
    }

    fn subscriber_request(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) -> Option<bool> {
        let client = &self.replies.clients[c];
        let own = client.session.as_ref()?.subscriptions.as_ref()?;
        let (waits, subscribed) = (!own.calls.is_empty(), !own.topics.is_empty());
        let changes = match command.route {
            Route::Pubsub(what) => what != PubsubCommand::Publish,
            _ => false,
        };
        if waits && !matches!(command.route, Route::Pubsub(what) if what.subscribes()) {
            return Some(false);
        }
        if client.resp3 || !subscribed {
            // Messages are written in the protocol that the client reads now.
            let speaks = matches!(command.route, Route::Local(Local::Hello | Local::Reset));
            if speaks && subscribed && client.is_done() {
                // Nor may what it says wait behind anything once the protocol is another.
                self.await_deletes(c);
            }
            return (speaks && !self.replies.clients[c].is_done()).then_some(false);
        }
        match command.route {
            _ if changes => None,
            Route::Local(Local::Quit | Local::Reset) => None,
            Route::Local(Local::Ping) if args.len() <= 2 => {
                self.answer_now(c, |out| {
                    encode::array_header(2, out);
                    encode::bulk(b"pong", out);
                    encode::bulk(args.get(1), out);
                });
                self.overhear(c, command, args);
                Some(true)
            }
            Route::Local(Local::Ping) => None,
            _ => {
                let text = format!(
                    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                     in this context",
                    command.full_name()
                );
                self.spoil(c);
                self.count_client(c, PoolMetric::ForwardError);
                self.answer_now(c, |out| encode::error(text.as_bytes(), out));
                Some(true)
            }
        }
    }

    /// Whether a client is sent what it has not asked for one by one.
    pub(crate) fn is_told(&self, c: u32) -> bool {
        let session = self.replies.clients[c].session.as_ref();
        self.is_subscribed(c) || session.is_some_and(|session| session.tracking.is_some() || session.monitor)
    }

    /// Whether a client is subscribed to anything.
    pub(crate) fn is_subscribed(&self, c: u32) -> bool {
        let session = self.replies.clients[c].session.as_ref();
        session.and_then(|session| session.subscriptions.as_ref()).is_some_and(|own| !own.topics.is_empty())
    }
}
