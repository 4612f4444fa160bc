//! The line that CLIENT INFO and CLIENT LIST have for a client: redis 7's, field by field, so that whatever reads it finds
//! what it looks for. What has no meaning here is as on a server where nothing of it has happened.

use crate::client::{About, Client};
use crate::core::Core;
use crate::id::ClientId;
use crate::pubsub::Kind;
use crate::tracking::Wants;
use std::io::Write;

/// How an address is written.
pub(crate) fn address(peer: stats::Peer) -> String {
    peer.map_or_else(|| "unix:0".to_owned(), |peer| peer.to_string())
}

impl Core {
    /// At which address of ours a client is, and which descriptor it has, for CLIENT LIST.
    pub fn seat_client(&mut self, id: ClientId, local: stats::Peer, fd: i32) {
        if let Some(client) = self.replies.clients.live_mut(id) {
            (client.local, client.fd) = (local, fd);
        }
    }

    pub(crate) fn client_line(&self, c: u32) -> Vec<u8> {
        let client = &self.replies.clients[c];
        let empty = About::default();
        let about = client.about.as_deref().unwrap_or(&empty);
        let session = client.session.as_deref();
        let queued = session.and_then(|session| session.transaction.as_ref());
        let own = session.and_then(|session| session.subscriptions.as_ref());
        let of = |kind: Kind| {
            let topics = own.into_iter().flat_map(|own| own.topics.keys());
            topics.filter(|topic| self.pubsub.topics[**topic].kind == kind).count()
        };
        let seconds = |since: u64| self.now.mono_us.saturating_sub(since) / 1_000_000;
        let held = client.held();
        let total = size_of::<Client>()
            + client.rest.capacity()
            + client.outbox.room()
            + client.parked
            + session.map_or(0, |session| session.room());
        let mut line = Vec::with_capacity(400);
        // Writing to memory cannot fail.
        _ = writeln!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} \
             qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll={} omem={held} tot-mem={total} \
             events={} cmd={} user=default redir={} resp={} lib-name={} lib-ver={}",
            client.number,
            address(client.peer),
            address(client.local),
            client.fd,
            text(&about.name),
            seconds(client.since_us),
            seconds(client.heard_us),
            flags(client),
            self.database_of(c),
            of(Kind::Channel),
            of(Kind::Pattern),
            of(Kind::Shard),
            queued.map_or(-1, |queued| i64::from(queued.count)),
            client.rest.len(),
            client.rest.capacity() - client.rest.len(),
            queued.map_or(0, |queued| queued.bytes.len()),
            usize::from(held > 0),
            if held > 0 { "rw" } else { "r" },
            client.last.map_or_else(|| "NULL".to_owned(), |command| command.full_name()),
            if session.is_some_and(|session| session.tracking.is_some()) { 0 } else { -1 },
            if client.resp3 { 3 } else { 2 },
            text(&about.library),
            text(&about.version),
        );
        line
    }
}

/// Names are printable ASCII.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or("")
}

/// O: monitors; P: subscribed; x: in a transaction; b: waits; t: keeps what it reads; B: is told of prefixes; N: nothing of note.
fn flags(client: &Client) -> String {
    let Some(session) = client.session.as_deref() else { return "N".to_owned() };
    let tracking = session.tracking.as_deref();
    let known = [
        ('O', session.monitor),
        ('P', is_subscribed(client) && session.transaction.is_none() && !session.waits()),
        ('x', session.transaction.is_some()),
        ('b', session.waits() && session.transaction.is_none()),
        ('t', tracking.is_some()),
        ('B', tracking.is_some_and(|tracker| tracker.wants == Wants::Broadcast)),
    ];
    let flags: String = known.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// Whether a client is subscribed to anything.
pub(crate) fn is_subscribed(client: &Client) -> bool {
    let own = client.session.as_ref().and_then(|session| session.subscriptions.as_ref());
    own.is_some_and(|own| !own.topics.is_empty())
}
