//! One worker's counters, written by that worker alone, and the registry of all of them.
//!
//! Everything a worker writes lies in rows aligned to 128 bytes (two cache lines, because processors fetch lines
//! in pairs), so that no two workers ever write to the same line.

use std::sync::Arc;

use crate::counter::Counter;
use crate::histogram::Histogram;
use crate::table::{PoolMetric, ServerMetric, WorkerMetric};

/// Which pools and servers are counted, in the order of output (twemproxy's internal order).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The pools.
    pub pools: Vec<PoolLayout>,
}

/// A pool and its servers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolLayout {
    /// The pool's name as the configuration has it.
    pub name: String,
    /// The servers' names.
    pub servers: Vec<String>,
}

/// One worker's counters.
#[derive(Debug)]
pub struct Shard {
    worker: Line<{ WorkerMetric::COUNT }>,
    pools: Box<[PoolShard]>,
    layout: Arc<Layout>,
}

/// One worker's counters for a pool.
#[derive(Debug, Default)]
pub struct PoolShard {
    counters: Line<{ PoolMetric::COUNT }>,
    servers: Box<[ServerShard]>,
    /// How long clients waited, from a request read to its reply written.
    pub latency: Histogram,
}

/// One worker's counters for a server.
#[derive(Debug, Default)]
pub struct ServerShard {
    counters: Line<{ ServerMetric::COUNT }>,
    /// How long the server took, from a request queued to its reply read. One without a reply in time counts when it
    /// is given up, as what it has waited by then, and its late reply does not count again.
    pub latency: Histogram,
}

impl Shard {
    /// Counters for everything in `layout`, all zero.
    pub fn new(layout: &Layout) -> Self {
        Self::with_layout(Arc::new(layout.clone()))
    }

    fn with_layout(layout: Arc<Layout>) -> Self {
        let pool = |pool: &PoolLayout| PoolShard {
            servers: pool.servers.iter().map(|_| ServerShard::default()).collect(),
            ..PoolShard::default()
        };
        Self { worker: Line::default(), pools: layout.pools.iter().map(pool).collect(), layout }
    }

    /// A counter of the worker itself.
    #[inline(always)]
    pub fn worker(&self, metric: WorkerMetric) -> &Counter {
        &self.worker.0[metric as usize]
    }

    /// A counter of the `pool`-th pool of the layout. Panics when there is none.
    #[inline(always)]
    pub fn pool(&self, pool: usize, metric: PoolMetric) -> &Counter {
        self.pools[pool].counter(metric)
    }

    /// A counter of the `server`-th server of the `pool`-th pool. Panics when there is none.
    #[inline(always)]
    pub fn server(&self, pool: usize, server: usize, metric: ServerMetric) -> &Counter {
        self.pools[pool].servers[server].counter(metric)
    }

    /// All of a pool's counters, for several changes with one look-up. Panics when there is no such pool.
    #[inline(always)]
    pub fn pool_shard(&self, pool: usize) -> &PoolShard {
        &self.pools[pool]
    }

    /// All of a server's counters, for several changes with one look-up. Panics when there is no such server.
    #[inline(always)]
    pub fn server_shard(&self, pool: usize, server: usize) -> &ServerShard {
        &self.pools[pool].servers[server]
    }

    /// What is counted here.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Takes over what `older` counted for pools and servers of the same name, so that numbers go on where they were
    /// after a reload. To be called once, by the worker that wrote `older` and will write this one.
    pub fn continue_from(&self, older: &Shard) {
        self.worker.add(&older.worker);
        for (name, pool) in self.layout.pools.iter().zip(&self.pools) {
            let Some(p) = older.layout.pools.iter().position(|old| old.name == name.name) else { continue };
            let (old_names, old) = (&older.layout.pools[p].servers, &older.pools[p]);
            pool.counters.add(&old.counters);
            pool.latency.add(&old.latency);
            for (server_name, server) in name.servers.iter().zip(&pool.servers) {
                let Some(s) = old_names.iter().position(|old| old == server_name) else { continue };
                server.counters.add(&old.servers[s].counters);
                server.latency.add(&old.servers[s].latency);
            }
        }
    }
}

impl PoolShard {
    /// One of the pool's counters.
    #[inline(always)]
    pub fn counter(&self, metric: PoolMetric) -> &Counter {
        &self.counters.0[metric as usize]
    }

    /// The pool's servers in the layout's order.
    #[inline(always)]
    pub fn servers(&self) -> &[ServerShard] {
        &self.servers
    }
}

impl ServerShard {
    /// One of the server's counters.
    #[inline(always)]
    pub fn counter(&self, metric: ServerMetric) -> &Counter {
        &self.counters.0[metric as usize]
    }
}

/// All workers' shards over one layout.
#[derive(Debug, Clone)]
pub struct Registry {
    layout: Arc<Layout>,
    shards: Vec<Arc<Shard>>,
}

impl Registry {
    /// A shard for each of `workers` workers.
    pub fn new(layout: Layout, workers: usize) -> Self {
        let layout = Arc::new(layout);
        let shards = (0..workers).map(|_| Arc::new(Shard::with_layout(Arc::clone(&layout)))).collect();
        Self { layout, shards }
    }

    /// What is counted.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// One shard per worker, in the workers' order.
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }
}

/// Counters that share no cache line with anything a different thread writes.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Line<const N: usize>(pub(crate) [Counter; N]);

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self([const { Counter::new() }; N])
    }
}

impl<const N: usize> Line<N> {
    fn add(&self, older: &Self) {
        for (mine, theirs) in self.0.iter().zip(&older.0) {
            mine.add(theirs.get());
        }
    }
}
