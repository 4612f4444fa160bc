//! Draws a world: its pools, servers, limits and faults, and the engine that serves them.

use crate::faults::Faults;
use crate::rng::Rng;
use config::{Address, Protocol};
use engine::topology::{PoolView, ServerView, Standing, Topology};
use engine::{Core, Process};
use placement::{DistributionKind, HashKind, HashTag, Member, Placement, Ring};
use stats::{EventRing, Layout, PoolLayout, Registry, Shard};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wire::Limits;

/// The password of pools that have one.
pub(crate) const PASSWORD: &str = "sesame";

/// What clients of some pools read in place of a reason.
pub(crate) const ERROR_TEXT: &str = "come back later";

/// The largest memcached value that passes; small, so that refused ones are.
pub(crate) const VALUE_BYTES: u64 = 3000;

/// What one seed has drawn.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pools: Vec<PoolPlan>,
    pub(crate) faults: Faults,
    pub(crate) clients: usize,
    pub(crate) preconnect: bool,
    /// No fault but harmless ones, and a key's server never changes: every reply is known to the byte.
    pub(crate) exact: bool,
}

#[derive(Debug)]
pub(crate) struct PoolPlan {
    pub(crate) protocol: Protocol,
    pub(crate) servers: usize,
    pub(crate) connections: usize,
    pub(crate) timeout_us: Option<u64>,
    pub(crate) connect_us: Option<u64>,
    pub(crate) server_idle_us: Option<u64>,
    pub(crate) client_idle_us: Option<u64>,
    pub(crate) auth: bool,
    pub(crate) db: u32,
    pub(crate) tag: Option<HashTag>,
    pub(crate) distribution: DistributionKind,
    pub(crate) max_pipeline: u32,
    pub(crate) request_limit: u64,
    pub(crate) output_limit: usize,
    pub(crate) fail_fast: bool,
    pub(crate) error_text: bool,
    pub(crate) retry_reads: bool,
    pub(crate) partial: bool,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng, exact: bool) -> Plan {
        let mut faults = Faults::draw(rng);
        while exact && !faults.none_harmful() {
            faults = Faults::draw(rng);
        }
        let protocols: &[Protocol] = match rng.below(10) {
            0..=4 => &[Protocol::Redis],
            5..=7 => &[Protocol::Memcache],
            _ => &[Protocol::Memcache, Protocol::Redis],
        };
        let mut pools: Vec<_> = protocols.iter().map(|protocol| PoolPlan::draw(rng, *protocol)).collect();
        if exact {
            for pool in &mut pools {
                pool.distribution = DistributionKind::Modula;
                // Who is cut for being idle cannot tell what it missed.
                (pool.server_idle_us, pool.client_idle_us) = (None, None);
            }
        }
        let random = pools.iter().any(|pool| pool.distribution == DistributionKind::Random);
        Plan {
            exact: faults.none_harmful() && !random,
            pools,
            faults,
            clients: rng.range(1, 8) as usize,
            preconnect: rng.chance(200),
        }
    }

    /// The view in which servers take part as `standing` says.
    pub(crate) fn topology(&self, standing: impl Fn(usize, usize) -> Standing) -> Topology {
        let pools = self.pools.iter().enumerate();
        Topology { pools: pools.map(|(p, pool)| pool.view(p, |server| standing(p, server))).collect() }
    }

    /// The engine, its counters beside it.
    pub(crate) fn core(&self, seed: u64, topology: Arc<Topology>) -> (Core, Arc<Shard>) {
        let pools = topology.pools.iter().map(|pool| PoolLayout {
            name: pool.name.clone(),
            servers: pool.servers.iter().map(|server| server.name.clone()).collect(),
        });
        let registry = Registry::new(Layout { pools: pools.collect() }, 1);
        let shard = registry.shards()[0].clone();
        let process = Process {
            version: "0.0.0",
            started_us: 0,
            pid: 1,
            next_client: AtomicU64::new(1),
            registry: Arc::new(registry),
            events: Arc::new(EventRing::new(16)),
        };
        (Core::new(Arc::new(process), topology, shard.clone(), seed), shard)
    }
}

impl PoolPlan {
    fn draw(rng: &mut Rng, protocol: Protocol) -> PoolPlan {
        let redis = protocol == Protocol::Redis;
        PoolPlan {
            protocol,
            servers: rng.range(1, 4) as usize,
            connections: rng.range(1, 3) as usize,
            timeout_us: rng.chance(650).then_some(200_000),
            connect_us: rng.chance(300).then_some(100_000),
            server_idle_us: rng.chance(200).then(|| rng.range(10_000, 200_000)),
            client_idle_us: rng.chance(150).then(|| rng.range(10_000, 200_000)),
            auth: redis && rng.chance(250),
            db: if redis && rng.chance(250) { 3 } else { 0 },
            tag: rng.chance(500).then_some(HashTag::new(*b"{}")),
            distribution: match rng.below(20) {
                0 => DistributionKind::Ketama,
                1 => DistributionKind::Random,
                2 => DistributionKind::Jump,
                _ => DistributionKind::Modula,
            },
            max_pipeline: if rng.chance(300) { rng.range(1, 5) as u32 } else { 4096 },
            request_limit: if rng.chance(200) { rng.range(1, 300) } else { 16 << 20 },
            output_limit: if rng.chance(300) { rng.range(1, 500) as usize } else { 1 << 20 },
            fail_fast: rng.chance(500),
            error_text: rng.chance(200),
            retry_reads: rng.chance(500),
            partial: rng.chance(500),
        }
    }

    fn view(&self, index: usize, standing: impl Fn(usize) -> Standing) -> PoolView {
        let servers = (0..self.servers).map(|server| ServerView {
            name: format!("s{index}{server}"),
            address: Address::Name { host: "server".to_string(), port: 1 },
            live: standing(server) != Standing::Out,
            drained: standing(server) == Standing::Drained,
        });
        let servers: Vec<ServerView> = servers.collect();
        let members = servers.iter().map(|server| Member {
            name: server.name.clone().into_bytes(),
            weight: 1,
            live: server.live,
        });
        let members: Vec<Member> = members.collect();
        PoolView {
            name: format!("pool{index}"),
            protocol: self.protocol,
            placement: Placement {
                hash: HashKind::Fnv1a32,
                tag: self.tag,
                ring: Ring::new(self.distribution, &members),
            },
            random: self.distribution == DistributionKind::Random,
            servers,
            timeout_us: self.timeout_us,
            connect_us: self.connect_us,
            server_idle_us: self.server_idle_us,
            client_idle_us: self.client_idle_us,
            server_connections: self.connections,
            fail_fast: self.fail_fast,
            error_text: self.error_text.then(|| ERROR_TEXT.to_string()),
            retry_reads: self.retry_reads,
            redis_auth: self.auth.then(|| PASSWORD.as_bytes().to_vec()),
            redis_db: self.db,
            limits: Limits { value_bytes: VALUE_BYTES, ..Limits::default() },
            client_max_pipeline: self.max_pipeline,
            client_request_limit: self.request_limit,
            client_output_limit: self.output_limit,
            partial_is_miss: self.partial,
        }
    }
}
