//! All that comes into the engine. Bytes are borrowed from the worker's read buffer.

use crate::error::Cause;
use crate::id::{ClientId, ConnId};
use crate::topology::Topology;
use std::sync::Arc;

/// The time of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds on a clock that never goes back.
    pub mono_us: u64,
    /// Microseconds since the epoch, for TIME, memcached's absolute times and log records only.
    pub unix_us: u64,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client sent bytes.
    ClientData(ClientId, &'a [u8]),
    /// A client will send no more; what it asked is still answered.
    ClientEnd(ClientId),
    /// A client's connection broke.
    ClientLost(ClientId),
    /// So many bytes of a client's output were taken by its socket.
    ClientWritten(ClientId, usize),
    /// A connection to a server stands.
    ConnUp(ConnId),
    /// A server sent bytes.
    ConnData(ConnId, &'a [u8]),
    /// So many bytes of a connection's output were taken by its socket.
    ConnWritten(ConnId, usize),
    /// A connection could not be made, or broke.
    ConnLost(ConnId, Cause),
    /// Open a connection to every server (`preconnect`).
    Preconnect,
    /// A server is down (with the reason), as another worker found out or a probe says; or it is up again.
    Server {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// Why it is down; nothing: it is up.
        down: Option<Cause>,
    },
    /// How long requests to a server may take from now on, those under way included (`timeout: auto`).
    /// Without effect where the pool has no timeout.
    Timeout {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// So long, in microseconds from being queued.
        micros: u64,
    },
    /// Pools and servers are from now on these. Their number and order stay as they were.
    Topology(Arc<Topology>),
}
