//! The immutable view of pools and servers that a worker routes by. The control plane makes a new
//! one when a server is ejected or comes back, and workers take it up between two ticks.

use config::{Address, Bytes, Millis, Partial, Pool, Protocol, Settings};
use placement::{DistributionKind, Member, Placement, Ring};
use wire::limits::Limits;

/// All pools, in twemproxy's order.
#[derive(Debug)]
pub struct Topology {
    /// The pools; their indices are stable while the process runs.
    pub pools: Vec<PoolView>,
}

/// One pool as workers see it.
#[derive(Debug)]
pub struct PoolView {
    /// The pool's name.
    pub name: String,
    /// What its clients speak.
    pub protocol: Protocol,
    /// Key to server, over the servers that are in.
    pub placement: Placement,
    /// Whether every request draws its server, so that keys cannot disagree.
    pub random: bool,
    /// The servers, in twemproxy's order.
    pub servers: Vec<ServerView>,
    /// How long a request may take, in microseconds from being queued; none: for ever.
    pub timeout_us: Option<u64>,
    /// How long connecting may take, in microseconds.
    pub connect_us: Option<u64>,
    /// How long a server connection may be idle, in microseconds.
    pub server_idle_us: Option<u64>,
    /// How long a client may be idle, in microseconds.
    pub client_idle_us: Option<u64>,
    /// Connections that a worker keeps to each server.
    pub server_connections: usize,
    /// Whether requests for a server that is known to be down fail at once.
    pub fail_fast: bool,
    /// What clients read while a server is known to be down or is drained, instead of the reason.
    pub error_text: Option<String>,
    /// What clients must say and servers are told.
    pub redis_auth: Option<Vec<u8>>,
    /// The database selected on every server connection.
    pub redis_db: u32,
    /// Bounds of what is read.
    pub limits: Limits,
    /// Requests and replies of which at least so many bytes are still to come are passed on as they come, over
    /// connections of their own.
    pub stream_from: usize,
    /// Requests a client may have outstanding before it is no longer read.
    pub client_max_pipeline: u32,
    /// Bytes of unanswered requests at which a client is no longer read.
    pub client_request_limit: u64,
    /// Bytes of replies a client may leave unread before it is no longer read.
    pub client_output_limit: usize,
    /// Bytes of unread replies at which a client that is owed more is closed.
    pub client_output_max: usize,
    /// Whether a read whose connection broke may be sent once more.
    pub retry_reads: bool,
    /// What a multi-get answers for keys of a server that fails: a miss, or (false) an error.
    pub partial_is_miss: bool,
}

/// One server as workers see it.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// The name that placement and stats use.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Whether it takes keys; an ejected one does not.
    pub live: bool,
    /// Whether it keeps its keys but is not to be asked.
    pub drained: bool,
}

/// Whether a server takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes keys and requests.
    In,
    /// Others take its keys.
    Out,
    /// It keeps its keys, whose requests get an error.
    Drained,
}

impl Topology {
    /// The view of `settings`, with `standing(pool, server)` saying which servers take part.
    pub fn new(settings: &Settings, standing: impl Fn(usize, usize) -> Standing) -> Topology {
        let pools = settings.pools.iter().enumerate();
        Topology { pools: pools.map(|(p, pool)| PoolView::new(pool, |s| standing(p, s))).collect() }
    }
}

impl PoolView {
    fn new(pool: &Pool, standing: impl Fn(usize) -> Standing) -> PoolView {
        let members: Vec<Member> = (pool.servers.iter().enumerate())
            .map(|(s, server)| Member {
                name: server.name.clone().into_bytes(),
                weight: server.weight,
                live: standing(s) != Standing::Out,
            })
            .collect();
        let servers = (pool.servers.iter().enumerate())
            .map(|(s, server)| ServerView {
                name: server.name.clone(),
                address: server.address.clone(),
                live: standing(s) != Standing::Out,
                drained: standing(s) == Standing::Drained,
            })
            .collect();
        PoolView {
            name: pool.name.clone(),
            protocol: pool.protocol,
            placement: Placement {
                hash: pool.hash,
                tag: pool.hash_tag,
                ring: Ring::new(pool.distribution, &members),
            },
            random: pool.distribution == DistributionKind::Random,
            servers,
            timeout_us: pool.timeout.map(micros),
            connect_us: pool.connect_timeout.map(micros),
            server_idle_us: pool.server_idle_timeout.map(micros),
            client_idle_us: pool.client_idle_timeout.map(micros),
            server_connections: pool.server_connections.max(1) as usize,
            fail_fast: pool.fail_fast,
            error_text: pool.error_text.clone(),
            redis_auth: pool.redis_auth.clone().map(Into::into),
            redis_db: pool.redis_db,
            limits: limits(pool),
            stream_from: size(pool.stream_from),
            client_max_pipeline: pool.client_max_pipeline.max(1),
            client_request_limit: pool.client_request_limit.0,
            client_output_limit: size(pool.client_output_limit),
            client_output_max: size(pool.client_output_hard_limit),
            retry_reads: pool.retry_reads,
            partial_is_miss: pool.partial == Partial::Miss,
        }
    }
}

fn micros(time: Millis) -> u64 {
    time.0.saturating_mul(1000)
}

fn size(bytes: Bytes) -> usize {
    usize::try_from(bytes.0).unwrap_or(usize::MAX)
}

fn limits(pool: &Pool) -> Limits {
    let defaults = Limits::default();
    Limits {
        request_bytes: pool.max_request_size.0.saturating_add(64 << 10),
        bulk_bytes: pool.max_request_size.0,
        value_bytes: pool.max_request_size.0,
        reply_bytes: pool.max_reply_size.0.saturating_add(64 << 10),
        ..defaults
    }
}
