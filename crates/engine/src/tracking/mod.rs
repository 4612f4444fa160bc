//! Client-side caching: clients that keep what they have read, and are told when it changes (CLIENT TRACKING).
//!
//! ```text
//!   by what was read:  reads of all that track ─► shared connections with tracking on ─► server
//!                      "k has changed" ◄───────── in the same stream ◄───────────────────┘
//!                        └─► who has read k since (reads.rs) ─► told behind that reply, or at once
//!   BCAST:             one connection per server and worker, for the prefixes of all clients (broadcast.rs)
//! ```
//! A server says once for each connection that a key has changed, and forgets it; so does the table here. What a client is
//! told must reach it behind every reply with the old value, which may still wait for its turn or for other servers'
//! parts: it goes behind the read that is under way, or behind all that is where nobody knows what was read. Where
//! changes may have been missed (a connection broke, keys have moved) clients are told to forget all they have.
//!
//! Redis tells a client that said NOLOOP nothing of its own changes, and neither does the proxy where it is certain whose
//! they are (own.rs).

mod broadcast;
mod call;
mod own;
mod proof;
mod reads;
mod remember;
mod tell;

use crate::deadline::NEVER;
use crate::topology::Topology;
use broadcast::Broadcast;
pub(crate) use own::OwnWrites;
use reads::Reads;
use std::collections::BTreeSet;

/// What a client wants to be told of.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    pub(crate) wants: Wants,
    pub(crate) noloop: bool,
    /// Whether CLIENT CACHING has said the other thing of what comes next.
    pub(crate) caching: bool,
    /// Whether it has read something since it was last told to forget all.
    pub(crate) has_read: bool,
    /// BCAST: what the keys that it is told of begin with.
    pub(crate) prefixes: BTreeSet<Box<[u8]>>,
}

/// Which keys a client is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Those that it reads.
    #[default]
    Read,
    /// Of those that it reads those before which it has said so.
    OptIn,
    /// Of those that it reads those before which it has not said otherwise.
    OptOut,
    /// All that begin with its prefixes.
    Broadcast,
}

impl Tracker {
    /// Whether it is told of what it reads now.
    pub(crate) fn wants_reads(&self) -> bool {
        match self.wants {
            Wants::Read => true,
            Wants::OptIn => self.caching,
            Wants::OptOut => !self.caching,
            Wants::Broadcast => false,
        }
    }
}

/// A worker's side of all that.
#[derive(Debug)]
pub(crate) struct Tracking {
    pools: Vec<PoolTracking>,
    /// Those of them whose clients are told of something.
    used: BTreeSet<u32>,
    /// When a connection is next to be made again, in microseconds; or [`NEVER`].
    pub(crate) retry_at_us: u64,
}

#[derive(Debug)]
struct PoolTracking {
    /// The clients that are told of what they read.
    readers: BTreeSet<u32>,
    reads: Reads,
    broadcast: Broadcast,
}

impl PoolTracking {
    /// Whether none of its clients is told of anything.
    fn is_unused(&self) -> bool {
        self.readers.is_empty() && self.broadcast.is_unused()
    }
}

impl Tracking {
    /// Nobody is told of anything.
    pub(crate) fn new(topology: &Topology) -> Tracking {
        let pool = |servers: usize| PoolTracking {
            readers: BTreeSet::new(),
            reads: Reads::default(),
            broadcast: Broadcast::new(servers),
        };
        let pools = topology.pools.iter().map(|view| pool(view.servers.len())).collect();
        Tracking { pools, used: BTreeSet::new(), retry_at_us: NEVER }
    }

    /// Whether anybody is told of anything.
    pub(crate) fn is_used(&self) -> bool {
        !self.used.is_empty()
    }

    fn pool(&mut self, pool: u32) -> &mut PoolTracking {
        &mut self.pools[pool as usize]
    }
}
