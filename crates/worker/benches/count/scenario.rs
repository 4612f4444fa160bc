//! What is counted, a row each.

use crate::ask::Ask;
use crate::bare::Size;
use crate::stage::Cast;
use config::Io;
use config::Protocol::{Memcache, Redis};

/// One row of the table below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// Its name in `bench/counts.txt`.
    pub(crate) name: &'static str,
    pub(crate) what: What,
    /// So many rounds; of a bare engine, requests.
    pub(crate) times: usize,
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// Workers with sockets.
    Sockets(Cast),
    /// An engine without.
    Bare(Size, Ask),
    /// The same; each request is a new view in which one server more is away, or one less.
    Snapshot(Size),
}

impl What {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            What::Sockets(_) => "sockets",
            What::Bare(..) | What::Snapshot(_) => "bare",
        }
    }
}

/// What most rows share.
const USUAL: Cast = Cast {
    protocol: Redis,
    ask: Ask::Get,
    workers: 1,
    clients_per_worker: 50,
    depth: 1,
    servers: 4,
    value_bytes: 64,
    // Which every kernel has.
    io: Io::Epoll,
};

/// The same with io_uring.
const RING: Cast = Cast { io: Io::IoUring, ..USUAL };

const BARE: Size = Size { servers: 4, pools: 1, clients: 50, idle: 0 };

const fn sockets(name: &'static str, times: usize, cast: Cast) -> Scenario {
    Scenario { name, what: What::Sockets(cast), times }
}

const fn bare(name: &'static str, size: Size, ask: Ask) -> Scenario {
    Scenario { name, what: What::Bare(size, ask), times: 1000 }
}

const fn snapshot(name: &'static str, size: Size) -> Scenario {
    Scenario { name, what: What::Snapshot(size), times: 20 }
}

/// Every scenario. Rows `NAME-1`, `NAME-2` ... are a series: cost per request must not grow along it.
#[rustfmt::skip] // a table: one row, one line
pub(crate) const SCENARIOS: &[Scenario] = &[
    sockets("redis-get", 10, USUAL),
    sockets("redis-set", 10, Cast { ask: Ask::Set, ..USUAL }),
    sockets("redis-get-pipe16", 5, Cast { depth: 16, ..USUAL }),
    sockets("redis-set-pipe16", 5, Cast { ask: Ask::Set, depth: 16, ..USUAL }),
    sockets("redis-mget20", 8, Cast { ask: Ask::Many(20), ..USUAL }),
    // Few clients: so much at once fits the sockets.
    sockets("redis-get-16k", 20, Cast { clients_per_worker: 4, value_bytes: 16 << 10, ..USUAL }),
    sockets("redis-set-16k", 20, Cast { ask: Ask::Set, clients_per_worker: 4, value_bytes: 16 << 10, ..USUAL }),
    sockets("mc-get", 10, Cast { protocol: Memcache, ..USUAL }),
    sockets("mc-mix", 22, Cast { protocol: Memcache, ask: Ask::GetsPerSet(10), ..USUAL }),
    sockets("mc-get20", 8, Cast { protocol: Memcache, ask: Ask::Many(20), ..USUAL }),
    sockets("lone-get", 200, Cast { clients_per_worker: 1, servers: 1, ..USUAL }),
    sockets("lone-get-pipe16", 20, Cast { clients_per_worker: 1, depth: 16, servers: 1, ..USUAL }),
    sockets("ring-get", 10, RING),
    sockets("ring-get-pipe16", 5, Cast { depth: 16, ..RING }),
    sockets("ring-mget20", 8, Cast { ask: Ask::Many(20), ..RING }),
    sockets("ring-get-16k", 20, Cast { clients_per_worker: 4, value_bytes: 16 << 10, ..RING }),
    sockets("ring-mc-mix", 22, Cast { protocol: Memcache, ask: Ask::GetsPerSet(10), ..RING }),
    sockets("ring-lone-get", 200, Cast { clients_per_worker: 1, servers: 1, ..RING }),
    sockets("workers-1", 10, USUAL),
    sockets("workers-2", 10, Cast { workers: 2, ..USUAL }),
    sockets("workers-4", 10, Cast { workers: 4, ..USUAL }),
    sockets("workers-8", 10, Cast { workers: 8, ..USUAL }),
    bare("servers-1", Size { servers: 1, ..BARE }, Ask::Get),
    bare("servers-10", Size { servers: 10, ..BARE }, Ask::Get),
    bare("servers-100", Size { servers: 100, ..BARE }, Ask::Get),
    bare("servers-1000", Size { servers: 1000, ..BARE }, Ask::Get),
    // 20 keys on 10 servers, of ever more.
    bare("split-20", Size { servers: 20, ..BARE }, Ask::Spread(10)),
    bare("split-100", Size { servers: 100, ..BARE }, Ask::Spread(10)),
    bare("split-1000", Size { servers: 1000, ..BARE }, Ask::Spread(10)),
    bare("mget20-servers-100", Size { servers: 100, ..BARE }, Ask::Many(20)),
    bare("mget20-servers-1000", Size { servers: 1000, ..BARE }, Ask::Many(20)),
    snapshot("snapshot-10", Size { servers: 10, ..BARE }),
    snapshot("snapshot-1000", Size { servers: 1000, ..BARE }),
    snapshot("snapshot-10000", Size { servers: 100, pools: 100, ..BARE }),
    bare("pools-1", BARE, Ask::Get),
    bare("pools-100", Size { pools: 100, clients: 100, ..BARE }, Ask::Get),
    bare("clients-10", Size { clients: 10, ..BARE }, Ask::Get),
    bare("clients-1000", Size { clients: 1000, ..BARE }, Ask::Get),
    bare("clients-10000", Size { clients: 10_000, ..BARE }, Ask::Get),
    bare("idle-0", BARE, Ask::Get),
    bare("idle-50000", Size { idle: 50_000, ..BARE }, Ask::Get),
];
