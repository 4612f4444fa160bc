//! The immutable view of pools and servers that a worker routes by. The control plane makes a new
//! one when a server is ejected or comes back, and workers take it up between two ticks. That costs a worker nothing for
//! pools and servers that stay as they are; to free an old one, which may take milliseconds, is the control plane's part.

use crate::command::{CommandSet, Learnt, Scope};
use config::{
    Address, Bytes, ClusterEmulation, CrossServer, Millis, OnFailure, OnReturn, Partial, Pool, Protocol,
    Server, Settings, UnknownCommands,
};
use placement::{DistributionKind, Member, Placement, Ring};
use stats::{Layout, PoolLayout};
use std::sync::Arc;
use wire::limits::Limits;

/// All pools, in twemproxy's order.
#[derive(Debug)]
pub struct Topology {
    /// The pools; their indices are stable while the process runs.
    pub pools: Vec<PoolView>,
    /// Pool and server of those that are drained or returning: what taking it up has to look at.
    pub(crate) marked: Vec<(u32, u32)>,
}

/// One pool as workers see it.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// The pool's name.
    pub name: String,
    /// What its clients speak.
    pub protocol: Protocol,
    /// Key to server: over the servers that are in, or over all of the pool's own where [`PoolView::elsewhere`] says
    /// where the keys of those away go.
    pub placement: Placement,
    /// Whether keys may have to be looked for elsewhere: a server is away, and [`PoolView::elsewhere`] is to be asked.
    pub detour: bool,
    /// How many of the servers have keys of their own: the first so many.
    pub own: usize,
    /// Who takes the keys of servers that are away, unless the others do.
    pub standby: Option<Standby>,
    /// What happens to a server's old data before it serves again.
    pub on_return: OnReturn,
    /// Whether every request draws its server, so that keys cannot disagree.
    pub random: bool,
    /// The servers, in twemproxy's order; behind them those of the standby.
    pub servers: Vec<ServerView>,
    /// How long a request may take, in microseconds from being queued, unless [`crate::Input::Timeout`] says
    /// otherwise of its server; none: for ever.
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
    /// Commands that its clients may not use.
    pub disabled: Option<CommandSet>,
    /// Commands that its servers have and the table has not; none: they are refused.
    pub learnt: Option<Arc<Learnt>>,
    /// What clients must say and servers are told.
    pub redis_auth: Option<Vec<u8>>,
    /// The database that clients are in at first.
    pub redis_db: u32,
    /// Whether they may not select another.
    pub redis_db_fixed: bool,
    /// The version of redis that they are told. Client libraries switch features on by it.
    pub redis_version: String,
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
    /// Connections that a worker's clients may have to themselves.
    pub pinned_connections: usize,
    /// Whether it passes for a redis cluster of one.
    pub cluster: ClusterEmulation,
    /// Whether gets of single keys go to a server as one: only on memcached pools.
    pub join_gets: bool,
    /// Whether a read whose connection broke may be sent once more.
    pub retry_reads: bool,
    /// Reads of keys on several servers are gathered, of so many bytes at most; `None`: they are refused.
    pub gather: Option<usize>,
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
    /// Whether it is being made ready to take its keys again.
    pub returning: bool,
}

impl ServerView {
    fn standing(&self) -> Standing {
        match (self.drained, self.returning, self.live) {
            (true, ..) => Standing::Drained,
            (_, true, _) => Standing::Returning,
            (.., true) => Standing::In,
            _ => Standing::Out,
        }
    }
}

/// Servers that stand in for those that are away.
#[derive(Clone, Debug)]
pub struct Standby {
    /// Key to server, counted from the first standby server.
    pub placement: Placement,
    /// The longest that a key lives there, in milliseconds.
    pub ttl_ms: u64,
}

/// Whether a server takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes keys and requests.
    In,
    /// Others take its keys.
    Out,
    /// Others take its keys still, and what is written there is deleted here: it will be in next.
    Returning,
    /// It keeps its keys, whose requests get an error.
    Drained,
}

impl Topology {
    /// The view of `settings`, with `standing(pool, server)` saying which servers take part.
    pub fn new(settings: &Settings, standing: impl Fn(usize, usize) -> Standing) -> Topology {
        let pools = settings.pools.iter().enumerate();
        Topology::of(pools.map(|(p, pool)| PoolView::new(pool, |s| standing(p, s))).collect())
    }

    /// Which pools and servers there are, for counters.
    pub fn layout(&self) -> Layout {
        let pools = self.pools.iter().map(|pool| PoolLayout {
            name: pool.name.clone(),
            servers: pool.servers.iter().map(|server| server.name.clone()).collect(),
        });
        Layout { pools: pools.collect() }
    }

    /// The view of the same `settings` now. Pools whose servers stand as they did are copied: laying out their servers anew
    /// takes far longer.
    pub fn renewed(&self, settings: &Settings, standing: impl Fn(usize, usize) -> Standing) -> Topology {
        let pools = settings.pools.iter().zip(&self.pools).enumerate();
        let renew = |(p, (pool, view)): (usize, (&Pool, &PoolView))| {
            let mut servers = view.servers.iter().enumerate();
            match servers.all(|(s, server)| server.standing() == standing(p, s)) {
                true => view.clone(),
                false => PoolView { learnt: view.learnt.clone(), ..PoolView::new(pool, |s| standing(p, s)) },
            }
        };
        Topology::of(pools.map(renew).collect())
    }

    /// The same, but a pool's servers have told which commands they have.
    pub fn with_learnt(&self, pool: usize, learnt: Arc<Learnt>) -> Topology {
        let mut pools = self.pools.clone();
        if let Some(view) = pools.get_mut(pool) {
            view.learnt = Some(learnt);
        }
        Topology::of(pools)
    }

    /// Of these pools.
    pub fn of(pools: Vec<PoolView>) -> Topology {
        let servers = |(p, pool): (usize, &PoolView)| -> Vec<(u32, u32)> {
            let servers = pool.servers.iter().enumerate();
            let marked = servers.filter(|(_, server)| server.drained || server.returning);
            marked.map(|(s, _)| (p as u32, s as u32)).collect()
        };
        let marked = pools.iter().enumerate().flat_map(servers).collect();
        Topology { pools, marked }
    }
}

impl PoolView {
    fn new(pool: &Pool, standing: impl Fn(usize) -> Standing) -> PoolView {
        let own = pool.own_servers();
        let away = |server: usize| matches!(standing(server), Standing::Out | Standing::Returning);
        let stands_by = matches!(pool.on_failure, OnFailure::Standby(_));
        // Who must know what was written where needs homes that stay; else keys move as twemproxy moves them.
        let homes_stay = stands_by || pool.on_return != OnReturn::Keep;
        let placement = |servers: &[Server], live: &dyn Fn(usize) -> bool| {
            let member = |(s, server): (usize, &Server)| Member {
                name: server.placed_name().to_owned().into_bytes(),
                weight: server.weight,
                live: live(s),
            };
            let members: Vec<Member> = servers.iter().enumerate().map(member).collect();
            Placement { hash: pool.hash, tag: pool.hash_tag, ring: Ring::new(pool.distribution, &members) }
        };
        let standby = match pool.on_failure {
            OnFailure::Standby(ttl) => {
                Some(Standby { placement: placement(&pool.servers[own.len()..], &|_| true), ttl_ms: ttl.0 })
            }
            OnFailure::Eject | OnFailure::Error => None,
        };
        let servers = (pool.servers.iter().enumerate())
            .map(|(s, server)| ServerView {
                name: server.name.clone(),
                address: server.address.clone(),
                live: !away(s),
                drained: standing(s) == Standing::Drained,
                returning: standing(s) == Standing::Returning,
            })
            .collect();
        PoolView {
            name: pool.name.clone(),
            protocol: pool.protocol,
            placement: placement(own, &|server| homes_stay || !away(server)),
            detour: homes_stay && (0..own.len()).any(away),
            own: own.len(),
            standby,
            on_return: pool.on_return,
            random: pool.distribution == DistributionKind::Random,
            servers,
            timeout_us: pool.timeout.longest().map(micros),
            connect_us: pool.connect_timeout.map(micros),
            server_idle_us: pool.server_idle_timeout.map(micros),
            client_idle_us: pool.client_idle_timeout.map(micros),
            server_connections: pool.server_connections.max(1) as usize,
            fail_fast: pool.fail_fast,
            error_text: pool.error_text.clone(),
            disabled: CommandSet::of(pool.disable.iter().map(String::as_str)),
            learnt: (pool.unknown_commands == UnknownCommands::Learn).then(Arc::default),
            redis_auth: pool.redis_auth.clone().map(Into::into),
            redis_db: pool.redis_db,
            redis_db_fixed: pool.redis_db_fixed,
            redis_version: pool.redis_version.clone(),
            limits: limits(pool),
            stream_from: size(pool.stream_from),
            client_max_pipeline: pool.client_max_pipeline.max(1),
            client_request_limit: pool.client_request_limit.0,
            client_output_limit: size(pool.client_output_limit),
            client_output_max: size(pool.client_output_hard_limit),
            pinned_connections: pool.pinned_connections as usize,
            cluster: pool.cluster_emulation.clone(),
            join_gets: pool.join_gets,
            retry_reads: pool.retry_reads,
            gather: (pool.cross_server == CrossServer::Gather).then(|| size(pool.gather_limit)),
            partial_is_miss: pool.partial == Partial::Miss,
        }
    }

    /// The server that owns `key` now. `draw` is for the `random` distribution.
    #[inline]
    pub fn place(&self, key: &[u8], draw: u32) -> Option<u32> {
        let home = self.placement.server(key, || draw);
        if self.detour { self.detour(key, home, draw) } else { home }
    }

    #[cold]
    fn detour(&self, key: &[u8], home: Option<u32>, draw: u32) -> Option<u32> {
        self.elsewhere(key, home, draw, |_| {})
    }

    /// Where a key goes that belongs to `home` while servers are away. `passed` is told of each of them that would
    /// have the key instead if it came back, some perhaps twice. `draw` is for the `random` distribution.
    pub fn elsewhere(
        &self,
        key: &[u8],
        home: Option<u32>,
        draw: u32,
        mut passed: impl FnMut(u32),
    ) -> Option<u32> {
        let home = home?;
        let mut takes = |server: u32| {
            let live = self.servers.get(server as usize).is_some_and(|view| view.live);
            if !live {
                passed(server);
            }
            live
        };
        if takes(home) {
            return Some(home);
        }
        if let Some(standby) = &self.standby {
            return standby.placement.server(key, || draw).map(|server| self.own as u32 + server);
        }
        // As long as an attempt succeeds, what another server does changes nothing for this key.
        for attempt in 1..=ATTEMPTS {
            let server = self.placement.another(key, attempt)?;
            if takes(server) {
                return Some(server);
            }
        }
        let own = self.own as u32;
        (1..own).map(|step| (home + step) % own).find(|server| takes(*server))
    }

    /// The commands that its clients have.
    pub fn scope(&self) -> Scope<'_> {
        Scope { learnt: self.learnt.as_deref(), disabled: self.disabled.as_ref(), book: None }
    }

    /// Whether all keys are on one server, whatever fails.
    pub fn is_single(&self) -> bool {
        self.own == 1 && self.servers.len() <= 2
    }

    /// Whether a server stands by and has no keys of its own.
    #[inline]
    pub fn is_standby(&self, server: u32) -> bool {
        server as usize >= self.own
    }
}

/// How often a key whose server is away is placed anew among all servers before the next one in line takes it.
const ATTEMPTS: u32 = 16;

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
