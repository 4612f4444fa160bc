//! One request of a client, from its place in the client's queue to its reply.
//!
//! ```text
//!   Waiting --reply, client's first--> (out, slot free)
//!      |  \--reply, not the first----> Parked --its turn--> (out, slot free)
//!      \--client gone--> Orphan --reply--> (dropped, slot free)
//!      \--CLIENT REPLY OFF--> Unheard --reply--> (dropped, slot free in its turn)
//! ```

use crate::id::{ClientId, ConnId};
use crate::pubsub::TopicId;
use crate::slab::NONE;

/// The slot of a request.
#[derive(Debug)]
pub struct Request {
    /// The client that asked.
    pub client: u32,
    /// The client's next request, or `NONE`.
    pub next: u32,
    /// Its bytes, which count against its client while it waits.
    pub bytes: u32,
    /// Where it stands.
    pub state: State,
}

/// Where a request stands.
#[derive(Debug)]
pub enum State {
    /// No reply yet.
    Waiting,
    /// The reply is here, but earlier ones of the same client are not.
    Parked(Vec<u8>),
    /// A large reply is being passed on as it comes, over this connection.
    Flowing(ConnId),
    /// Its client wants no reply, but it keeps its place until it is done.
    Unheard,
    /// Its client is gone; the reply will be dropped.
    Orphan,
}

impl Request {
    /// A request of `client` without a reply.
    pub fn waiting(client: u32, bytes: usize) -> Request {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Request { client, next: NONE, bytes, state: State::Waiting }
    }
}

/// What the next reply on a server connection answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A client's request, by slot.
    Request(u32),
    /// The same, but the client reads this text whatever the server says.
    Instead(u32, &'static [u8]),
    /// A client's EXEC with all that it carries out.
    Exec(u32),
    /// A client's request that a server may answer as late as the client said.
    Awaited(u32),
    /// A client's WAIT: one of several servers that it asks.
    Copies(u32),
    /// A client's SCAN: the reply's cursor becomes the proxy's own.
    Scan(Page),
    /// A client's EVALSHA or FCALL: if the server does not know the script or function, it may be told.
    Script(u32),
    /// A client's request that wants no reply but keeps its place until it is done.
    Quiet(u32),
    /// A part of a split or fanned-out request.
    Part {
        /// The merge it belongs to.
        merge: u32,
        /// Its place in it.
        part: u32,
    },
    /// Nobody: the request was given up. The reply is dropped.
    Nobody,
    /// A client that wants no reply.
    Noreply(ClientId),
    /// The proxy's own step on a new connection.
    Handshake(Step),
    /// Something the proxy asked for itself.
    Errand(Errand),
    /// A subscription that clients share.
    Topic(TopicId),
    /// Whether a server has a database, for all clients that wait for it.
    Database {
        /// Index of the pool.
        pool: u32,
        /// Its place in the pool's list.
        place: u32,
    },
    /// What a server says of its commands, for all clients of a pool that speak RESP3, or do not.
    Docs {
        /// Index of the pool.
        pool: u32,
        /// Whether it is asked in RESP3.
        resp3: bool,
    },
    /// What a server is asked to tell of: the how manieth time that it has changed.
    Cover(u32),
}

/// A page of a SCAN that a server was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The client's request, by slot.
    pub request: u32,
    /// In which run of the server its cursor was made: [`crate::server_conn::ServerConn::run`].
    pub run: u16,
    /// Whether it goes on from there, rather than beginning with the server.
    pub begun: bool,
}

/// What the proxy asks of servers while one is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Delete a key that was written elsewhere, on a server that is about to return.
    Forget {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
        /// Between which two collectings of the record it was sent.
        epoch: u32,
    },
    /// Bound how long a standby server keeps a key.
    BoundLife {
        /// Index of the pool.
        pool: u32,
        /// Index of the server in the pool.
        server: u32,
    },
}

/// What the proxy says first on a connection to a redis server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// AUTH
    Auth,
    /// HELLO 3, with AUTH in it where there is a password
    Hello,
    /// SELECT
    Select,
    /// CLIENT TRACKING ON, where clients keep what they read
    Tracking,
}
