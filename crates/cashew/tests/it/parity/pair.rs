//! nutcracker and cashew with the same pools over servers of their own, and what each answers.

use std::fmt;
use std::io;
use std::time::Duration;

use testkit::{Cashew, Client, Nutcracker, ports};

use crate::rig;

/// A pool that both have.
pub(crate) struct Pool {
    pub(crate) name: &'static str,
    /// Settings, one a line; `redis: true` makes it a redis pool.
    pub(crate) settings: &'static str,
    /// nutcracker's servers and cashew's, as the file has them.
    pub(crate) servers: [Vec<String>; 2],
}

/// The two, running.
pub(crate) struct Pair {
    _nutcracker: Nutcracker,
    _cashew: Cashew,
    pools: Vec<(&'static str, bool, [u16; 2])>,
}

/// What a client saw.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Replies, and the connection stays.
    Replies(Vec<u8>),
    /// Replies, perhaps none, and then the end of the connection.
    Closed(Vec<u8>),
    /// Nothing, while the connection stays.
    Silence,
}

impl Pair {
    pub(crate) fn start(pools: &[Pool]) -> Pair {
        let listens: Vec<[u16; 2]> = pools.iter().map(|_| [ports::free(), ports::free()]).collect();
        let config = |side: usize| -> String {
            let text = |(pool, listen): (&Pool, &[u16; 2])| {
                rig::pool(pool.name, listen[side], pool.settings, &pool.servers[side])
            };
            pools.iter().zip(&listens).map(text).collect()
        };
        let redis = |pool: &Pool| pool.settings.contains("redis: true");
        Pair {
            _nutcracker: Nutcracker::start(&config(0)).unwrap_or_else(|error| panic!("{error}")),
            _cashew: rig::cashew(&config(1), &[]),
            pools: pools.iter().zip(listens).map(|(pool, listen)| (pool.name, redis(pool), listen)).collect(),
        }
    }

    /// What a fresh client of each sees when it sends `request` to `pool` and waits for `replies` replies.
    pub(crate) fn ask(&self, pool: &str, request: &[u8], replies: usize) -> [Seen; 2] {
        let (_, redis, listens) =
            self.pools.iter().find(|(name, ..)| *name == pool).unwrap_or_else(|| panic!("no pool {pool}"));
        listens.map(|port| ask(port, *redis, request, replies))
    }
}

fn ask(port: u16, redis: bool, request: &[u8], replies: usize) -> Seen {
    let mut client = Client::connect_port(port).expect("the proxy accepts");
    client.set_deadline(SILENCE);
    let mut seen = Vec::new();
    if client.try_send(request).is_err() {
        return Seen::Closed(seen);
    }
    for _ in 0..replies {
        match reply(&mut client, redis) {
            Ok(bytes) => seen.extend(bytes),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Seen::Silence,
            Err(_) => return Seen::Closed(seen),
        }
    }
    // Both answer this on their own or by the server of one fixed key: it tells whether they still listen.
    let alive: &[u8] = if redis { b"*1\r\n$4\r\nPING\r\n" } else { b"version\r\n" };
    let answered = client.try_send(alive).and_then(|()| reply(&mut client, redis));
    match answered {
        Ok(_) => Seen::Replies(seen),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Seen::Silence,
        Err(_) => Seen::Closed(seen),
    }
}

fn reply(client: &mut Client, redis: bool) -> io::Result<Vec<u8>> {
    if redis { client.try_resp_reply() } else { client.try_memcache_reply() }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, end) = match self {
            Seen::Replies(bytes) => (bytes, ""),
            Seen::Closed(bytes) => (bytes, " closed"),
            Seen::Silence => return f.write_str("silence"),
        };
        let shown = bytes.get(..SHOWN_MAX).unwrap_or(bytes);
        write!(f, "\"{}\"{end}", shown.escape_ascii())
    }
}

/// Longer than any timeout of the pools; only what is left without an answer costs it.
const SILENCE: Duration = Duration::from_secs(2);

/// So much of a long reply is shown.
const SHOWN_MAX: usize = 160;
