//! Draws a world: its pools, servers, limits and faults, and the engine that serves them.

use crate::faults::Faults;
use crate::rng::Rng;
use config::{Protocol, Settings};
use engine::topology::{PoolView, Standing, Topology};
use engine::{Core, Process};
use stats::{Registry, Shard};
use std::sync::Arc;
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
    settings: Settings,
    pub(crate) pools: Vec<PoolPlan>,
    pub(crate) faults: Faults,
    pub(crate) clients: usize,
    pub(crate) preconnect: bool,
    /// What buffers may take.
    pub(crate) memory: Option<usize>,
    /// No fault but harmless ones, and a key's server never changes: every reply is known to the byte.
    pub(crate) exact: bool,
}

#[derive(Debug)]
pub(crate) struct PoolPlan {
    pub(crate) protocol: Protocol,
    /// All servers, those that stand by among them.
    pub(crate) servers: usize,
    /// Those that have keys of their own.
    pub(crate) own: usize,
    /// `on_failure`, and `on_return`.
    pub(crate) absence: (&'static str, &'static str),
    pub(crate) connections: usize,
    pub(crate) timeout_us: Option<u64>,
    pub(crate) connect_us: Option<u64>,
    pub(crate) server_idle_us: Option<u64>,
    pub(crate) client_idle_us: Option<u64>,
    pub(crate) auth: bool,
    pub(crate) db: u32,
    /// Whether clients select databases.
    pub(crate) selects: bool,
    pub(crate) tag: bool,
    pub(crate) distribution: &'static str,
    pub(crate) max_pipeline: u32,
    pub(crate) request_limit: u64,
    pub(crate) output_limit: usize,
    pub(crate) stream_from: usize,
    pub(crate) output_max: usize,
    pub(crate) fail_fast: bool,
    pub(crate) error_text: bool,
    pub(crate) retry_reads: bool,
    pub(crate) partial: bool,
    /// Whether gets of several clients go to a server as one.
    pub(crate) joins: bool,
    /// Its servers answer a get that is of several requests from the last to the first.
    pub(crate) backwards: bool,
    /// So many connections may belong to one client each.
    pub(crate) pinned: usize,
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
        if faults.leave > 0 {
            pools.iter_mut().for_each(|pool| pool.clean_up(rng));
        }
        if exact {
            for pool in &mut pools {
                pool.distribution = "modula";
                // Who is cut for being idle or slow cannot tell what it missed.
                (pool.server_idle_us, pool.client_idle_us) = (None, None);
                pool.output_max = usize::MAX;
            }
        }
        let random = pools.iter().any(|pool| pool.distribution == "random");
        let text: String = pools.iter().enumerate().map(|(index, pool)| pool.text(index)).collect();
        let settings = config::load(&text, &|_, _| unreachable!("no names")).expect("the text is a good one");
        Plan {
            settings,
            exact: faults.none_harmful() && !random,
            pools,
            faults,
            clients: rng.range(1, 8) as usize,
            preconnect: rng.chance(200),
            memory: rng.chance(150).then(|| rng.range(60_000, 150_000) as usize),
        }
    }

    /// The view in which servers take part as `standing` says.
    pub(crate) fn topology(&self, standing: impl Fn(usize, usize) -> Standing) -> Topology {
        let mut topology = Topology::new(&self.settings, standing);
        topology.pools.iter_mut().zip(&self.pools).for_each(|(view, pool)| pool.apply(view));
        topology
    }

    /// The engine, its counters beside it.
    pub(crate) fn core(&self, seed: u64, topology: Arc<Topology>) -> (Core, Arc<Shard>) {
        let registry = Arc::new(Registry::new(topology.layout(), 1));
        let shard = registry.shards()[0].clone();
        let process = Process::new("0.0.0", 1, registry, 16);
        let mut core = Core::new(Arc::new(process), topology, shard.clone(), seed);
        if let Some(bytes) = self.memory {
            core.limit_memory(bytes);
        }
        // In half of all runs a request of few keys is one of very many. Not drawn, so that the rest of a run stays what it was.
        if seed % 2 == 1 {
            core.divide_from((seed / 2 % 3) as usize + 1);
        }
        (core, shard)
    }
}

impl PoolPlan {
    fn draw(rng: &mut Rng, protocol: Protocol) -> PoolPlan {
        let redis = protocol == Protocol::Redis;
        let distribution = match rng.below(20) {
            0 => "ketama",
            1 => "random",
            2 => "jump",
            _ => "modula",
        };
        let absence = match rng.below(6) {
            0 => ("standby", "keep"),
            1 if distribution != "random" => ("standby", "invalidate"),
            2 if distribution != "random" => ("eject", "invalidate"),
            3 => ("eject", "keep"),
            _ => ("error", "keep"),
        };
        let own = rng.range(1, 4) as usize;
        PoolPlan {
            protocol,
            own,
            servers: own + usize::from(absence.0 == "standby"),
            absence,
            connections: rng.range(1, 3) as usize,
            timeout_us: rng.chance(650).then_some(200_000),
            connect_us: rng.chance(300).then_some(100_000),
            server_idle_us: rng.chance(200).then(|| rng.range(10_000, 200_000)),
            client_idle_us: rng.chance(150).then(|| rng.range(10_000, 200_000)),
            auth: redis && rng.chance(250),
            db: if redis && rng.chance(250) { 3 } else { 0 },
            selects: redis && rng.chance(400),
            tag: rng.chance(500),
            distribution,
            max_pipeline: if rng.chance(300) { rng.range(1, 5) as u32 } else { 4096 },
            request_limit: if rng.chance(200) { rng.range(1, 300) } else { 16 << 20 },
            output_max: if rng.chance(200) { rng.range(2_000, 20_000) as usize } else { usize::MAX },
            output_limit: if rng.chance(300) { rng.range(1, 500) as usize } else { 1 << 20 },
            stream_from: if rng.chance(400) { rng.range(1, 200) as usize } else { 512 << 10 },
            fail_fast: rng.chance(500),
            error_text: rng.chance(200),
            retry_reads: rng.chance(500),
            partial: rng.chance(500),
            joins: !redis && rng.chance(800),
            backwards: !redis && rng.chance(200),
            pinned: 1024,
        }
    }

    /// Makes it a pool whose servers' old data is never seen when they return.
    fn clean_up(&mut self, rng: &mut Rng) {
        self.absence = (
            *rng.pick(&["standby", "eject"]),
            *rng.pick(&["invalidate", "invalidate", "invalidate", "flush"]),
        );
        self.own = self.own.max(3);
        self.servers = self.own + usize::from(self.absence.0 == "standby");
        (self.tag, self.connections) = (self.tag && rng.chance(200), self.connections.max(2));
        if self.distribution == "random" {
            self.distribution = "rendezvous";
        }
    }

    /// The pool as the configuration file has it, as far as the file's own limits allow.
    fn text(&self, index: usize) -> String {
        let redis = self.protocol == Protocol::Redis;
        let tag = if self.tag { "\n  hash_tag: '{}'" } else { "" };
        let (on_failure, on_return) = self.absence;
        let standby = match on_failure {
            "standby" => format!("\n  standby: 127.0.0.1:{}:1 spare", 3000 + index),
            _ => String::new(),
        };
        let absence = format!("\n  on_failure: {on_failure}{standby}\n  on_return: {on_return}");
        let mut text = format!(
            "pool{index}:\n  listen: 127.0.0.1:{}\n  hash: fnv1a_32\n  distribution: {}\n  redis: {redis}{tag}{absence}\n  servers:\n",
            1000 + index,
            self.distribution
        );
        for server in 0..self.own {
            text += &format!("  - 127.0.0.1:{}:1 s{index}{server}\n", 2000 + server);
        }
        text
    }

    /// What is drawn for this pool; limits are smaller than the file would take.
    fn apply(&self, view: &mut PoolView) {
        view.timeout_us = self.timeout_us;
        view.connect_us = self.connect_us;
        view.server_idle_us = self.server_idle_us;
        view.client_idle_us = self.client_idle_us;
        view.server_connections = self.connections;
        view.fail_fast = self.fail_fast;
        view.error_text = self.error_text.then(|| ERROR_TEXT.to_string());
        view.retry_reads = self.retry_reads;
        view.join_gets = self.joins;
        view.redis_auth = self.auth.then(|| PASSWORD.as_bytes().to_vec());
        view.redis_db = self.db;
        view.redis_db_fixed = !self.selects;
        view.limits = Limits { value_bytes: VALUE_BYTES, ..Limits::default() };
        view.client_max_pipeline = self.max_pipeline;
        view.client_request_limit = self.request_limit;
        view.client_output_limit = self.output_limit;
        view.stream_from = self.stream_from;
        view.client_output_max = self.output_max;
        view.partial_is_miss = self.partial;
        view.pinned_connections = self.pinned;
    }
}
