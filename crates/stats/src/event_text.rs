//! Events in operators' words: one line each, with the pool and server by name.

use std::fmt;

use crate::event::{Event, Peer};
use crate::shard::Layout;

impl Event {
    /// The event as one line of text, with names from `layout`.
    pub fn describe<'a>(&'a self, layout: &'a Layout) -> Described<'a> {
        Described { event: self, layout }
    }
}

/// An event to be written as one line; made by [`Event::describe`].
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    event: &'a Event,
    layout: &'a Layout,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.layout;
        let pool = |pool| Pool { layout, pool };
        let at = |pool, server| Server { layout, pool, server };
        match *self.event {
            Event::ClientProtocolError { pool: p, client, reason } => {
                write!(f, "{}: closed client {}: {reason}", pool(p), Client(client))
            }
            Event::ClientRefused { pool: p, client, limit } => {
                write!(f, "{}: refused client {}: the limit is {limit} clients", pool(p), Client(client))
            }
            Event::ClientOverflow { pool: p, client, unread_bytes } => {
                let client = Client(client);
                write!(
                    f,
                    "{}: closed client {client}: it left {unread_bytes} bytes of replies unread",
                    pool(p)
                )
            }
            Event::ClientTooBig { pool: p, client, bytes } => {
                let client = Client(client);
                write!(
                    f,
                    "{}: closed client {client}: its unfinished request takes {bytes} bytes and max_memory is reached",
                    pool(p)
                )
            }
            Event::AcceptFailed { pool: p, error } => {
                write!(f, "{}: cannot accept clients: {error}", pool(p))
            }
            Event::ServerConnectFailed { pool, server, error } => {
                write!(f, "{}: cannot connect: {error}", at(pool, server))
            }
            Event::ServerClosed { pool, server, requests, reason } => {
                write!(f, "{}: connection lost: {reason}; {requests} requests failed", at(pool, server))
            }
            Event::ServerTimedOut { pool, server, requests } => {
                write!(f, "{}: no answer in time; {requests} requests failed", at(pool, server))
            }
            Event::ServerProtocolError { pool, server, reason } => {
                write!(f, "{}: closed the connection: not a reply: {reason}", at(pool, server))
            }
            Event::HandshakeRefused { pool, server, command, reply } => {
                write!(f, "{}: refused {command}: {reply}", at(pool, server))
            }
            Event::RecordOverflowed { pool, server } => write!(
                f,
                "{}: more keys were written elsewhere than are remembered, it will be emptied before it serves again",
                at(pool, server)
            ),
            Event::StandbyTtlRefused { pool, server, reply } => {
                write!(f, "{}: does not bound TTLs (PEXPIRE ... LT needs redis 7): {reply}", at(pool, server))
            }
        }
    }
}

/// A client by its address.
struct Client(Peer);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("on the unix socket"),
        }
    }
}

/// A pool by name, or by number when the layout has changed since.
struct Pool<'a> {
    layout: &'a Layout,
    pool: u32,
}

impl fmt::Display for Pool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layout.pools.get(self.pool as usize) {
            Some(pool) => write!(f, "pool '{}'", pool.name),
            None => write!(f, "pool #{}", self.pool),
        }
    }
}

/// A server by name, or by number when the layout has changed since.
struct Server<'a> {
    layout: &'a Layout,
    pool: u32,
    server: u32,
}

impl fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { layout, pool, server } = self;
        let name = layout.pools.get(pool as usize).and_then(|pool| pool.servers.get(server as usize));
        match name {
            Some(name) => write!(f, "{}: server '{name}'", Pool { layout, pool }),
            None => write!(f, "{}: server #{server}", Pool { layout, pool }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Event, Layout, PoolLayout};

    #[test]
    fn events_name_pool_and_server() {
        let layout =
            Layout { pools: vec![PoolLayout { name: "alpha".into(), servers: vec!["cache1".into()] }] };
        let check = |event: Event, expected: &str| assert_eq!(event.describe(&layout).to_string(), expected);
        check(
            Event::HandshakeRefused { pool: 0, server: 0, command: "AUTH", reply: "-ERR no\r\n".into() },
            r"pool 'alpha': server 'cache1': refused AUTH: -ERR no\r\n",
        );
        check(
            Event::ClientRefused { pool: 0, client: Some(([127, 0, 0, 1], 9).into()), limit: 5 },
            "pool 'alpha': refused client 127.0.0.1:9: the limit is 5 clients",
        );
        check(
            Event::ClientProtocolError { pool: 0, client: None, reason: "key is longer than 250".into() },
            "pool 'alpha': closed client on the unix socket: key is longer than 250",
        );
        let late = |pool, server| Event::ServerTimedOut { pool, server, requests: 2 };
        check(late(0, 7), "pool 'alpha': server #7: no answer in time; 2 requests failed");
        check(late(7, 0), "pool #7: server #0: no answer in time; 2 requests failed");
    }
}
