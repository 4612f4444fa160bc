//! What clients ask: drawn at random, written as bytes, remembered until the reply can be judged.

use crate::chaos::ledger::Ledger;
use crate::chaos::reply::Reply;
use crate::chaos::{POOLS, SERVERS, Seat};
use crate::data::Rng;
use crate::scenario::Protocol;
use std::io::Write as _;

/// A request under way.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A SET or a deletion.
    Write {
        /// The key's number.
        key: usize,
        /// From 1.
        version: usize,
        /// The server's when it was sent.
        epoch: u32,
    },
    /// A GET of one key or more.
    Read(Vec<Seen>),
    /// An INCR.
    Count {
        /// The counter's number.
        counter: usize,
        /// How many were acknowledged before it was sent.
        acknowledged: u64,
        /// The server's when it was sent.
        epoch: u32,
    },
}

/// What was known of a key when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The key's number.
    pub(crate) key: usize,
    /// Its newest acknowledged version.
    pub(crate) floor: usize,
    /// The server's when it was sent.
    pub(crate) epoch: u32,
}

impl Ask {
    /// The servers that its keys belong to while all are well.
    pub(crate) fn servers(&self, ledger: &Ledger) -> [bool; SERVERS] {
        let mut servers = [false; SERVERS];
        match self {
            Self::Write { key, .. } => servers[ledger.key(*key).server] = true,
            Self::Count { counter, .. } => servers[ledger.counter(*counter).server] = true,
            Self::Read(seen) => seen.iter().for_each(|it| servers[ledger.key(it.key).server] = true),
        }
        servers
    }

    /// The servers that this reply proves to be in service. A miss in a multi-get proves nothing: a proxy may
    /// answer so for a server that fails.
    pub(crate) fn served(&self, reply: &Reply<'_>, ledger: &Ledger) -> [bool; SERVERS] {
        match (self, reply) {
            (Self::Read(seen), Reply::Named(values)) if seen.len() > 1 => {
                let mut servers = [false; SERVERS];
                let keys = seen.iter().map(|it| ledger.key(it.key));
                let found = keys.filter(|key| values.iter().any(|(name, _)| *name == key.name.as_bytes()));
                found.for_each(|key| servers[key.server] = true);
                servers
            }
            _ => self.servers(ledger),
        }
    }
}

/// The keys of one stretch of the run: new ones for each fault, so that no fault sees what another left behind.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// What each client writes.
    own: Vec<Vec<usize>>,
    counters: Vec<Vec<usize>>,
    /// What it may read: all of its pool, by server.
    pools: [[Vec<usize>; SERVERS]; POOLS.len()],
}

impl Keys {
    /// Names the keys of every client; `tags[server]` are hash tags that bring a key to that server.
    pub(crate) fn new(
        number: usize,
        seats: &[Seat],
        tags: &[Vec<String>; SERVERS],
        ledger: &mut Ledger,
    ) -> Self {
        let mut keys = Self::default();
        for (client, seat) in seats.iter().enumerate() {
            let (mut own, mut counters) = (Vec::new(), Vec::new());
            for n in 0..KEYS_PER_CLIENT {
                let server = seat.only.unwrap_or(n % SERVERS);
                let tag = &tags[server][(client + n) % tags[server].len()];
                let name = |kind| format!("{{{tag}}}:{number}:{}:{client}:{kind}{n}", seat.pool);
                let key = ledger.add_key(name('k'), seat.pool, server);
                own.push(key);
                keys.pools[seat.pool][server].push(key);
                if n < SERVERS {
                    counters.push(ledger.add_counter(name('c'), seat.pool, server));
                }
            }
            keys.own.push(own);
            keys.counters.push(counters);
        }
        keys
    }

    fn own(&self, client: usize, rng: &mut Rng) -> usize {
        pick(&self.own[client], rng)
    }

    fn any(&self, seat: Seat, rng: &mut Rng) -> usize {
        let server = seat.only.unwrap_or_else(|| rng.below(SERVERS as u32) as usize);
        pick(&self.pools[seat.pool][server], rng)
    }

    /// Draws a client's next request and appends its bytes; nothing comes back when it gets no reply.
    pub(crate) fn draw(
        &self,
        client: usize,
        seat: Seat,
        ledger: &mut Ledger,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Option<Ask> {
        let protocol = POOLS[seat.pool].protocol;
        match rng.below(100) {
            0..20 => Some(read(protocol, &[self.own(client, rng)], ledger, out)),
            20..40 => Some(read(protocol, &[self.any(seat, rng)], ledger, out)),
            40..55 => {
                let count = 2 + rng.below(11);
                let mut keys: Vec<usize> = (0..count).map(|_| self.any(seat, rng)).collect();
                keys.sort_unstable();
                keys.dedup();
                Some(read(protocol, &keys, ledger, out))
            }
            55..80 => Some(set(protocol, self.own(client, rng), ledger, out, "")),
            80..87 => Some(delete(protocol, self.own(client, rng), ledger, out)),
            _ if protocol == Protocol::Redis => {
                let counter = pick(&self.counters[client], rng);
                words(&["INCR", &ledger.counter(counter).name], out);
                Some(ledger.count(counter))
            }
            _ => {
                let ask = set(protocol, self.own(client, rng), ledger, out, " noreply");
                ledger.leave_in_doubt(&ask);
                None
            }
        }
    }
}

fn read(protocol: Protocol, keys: &[usize], ledger: &Ledger, out: &mut Vec<u8>) -> Ask {
    let names = keys.iter().map(|&key| ledger.key(key).name.as_str());
    match protocol {
        Protocol::Redis => {
            let command = if keys.len() == 1 { "GET" } else { "MGET" };
            words(&[command].into_iter().chain(names).collect::<Vec<_>>(), out);
        }
        Protocol::Memcached => {
            out.extend_from_slice(b"get");
            names.for_each(|name| write!(out, " {name}").expect("a Vec takes all"));
            out.extend_from_slice(b"\r\n");
        }
    }
    Ask::Read(keys.iter().map(|&key| ledger.see(key)).collect())
}

fn set(protocol: Protocol, key: usize, ledger: &mut Ledger, out: &mut Vec<u8>, more: &str) -> Ask {
    let mut value = Vec::new();
    let ask = ledger.write(key, Some(&mut value));
    let (name, length) = (&ledger.key(key).name, value.len());
    match protocol {
        Protocol::Redis => write!(out, "*3\r\n$3\r\nSET\r\n${}\r\n{name}\r\n${length}\r\n", name.len()),
        Protocol::Memcached => write!(out, "set {name} 0 0 {length}{more}\r\n"),
    }
    .expect("a Vec takes all");
    out.extend_from_slice(&value);
    out.extend_from_slice(b"\r\n");
    ask
}

fn delete(protocol: Protocol, key: usize, ledger: &mut Ledger, out: &mut Vec<u8>) -> Ask {
    let name = &ledger.key(key).name;
    match protocol {
        Protocol::Redis => words(&["DEL", name], out),
        Protocol::Memcached => write!(out, "delete {name}\r\n").expect("a Vec takes all"),
    }
    ledger.write(key, None)
}

/// A redis command.
pub(crate) fn words(words: &[&str], out: &mut Vec<u8>) {
    write!(out, "*{}\r\n", words.len()).expect("a Vec takes all");
    words.iter().for_each(|word| write!(out, "${}\r\n{word}\r\n", word.len()).expect("a Vec takes all"));
}

fn pick(numbers: &[usize], rng: &mut Rng) -> usize {
    numbers[rng.below(numbers.len() as u32) as usize]
}

/// Few, so that keys are often written again while something is under way.
const KEYS_PER_CLIENT: usize = 8;
