//! The workers' shards added up: what every output is written from.

use crate::counter::Counter;
use crate::histogram::{Distribution, Histogram};
use crate::shard::{PoolShard, Registry, ServerShard};
use crate::table::{Kind, PoolMetric, Row, ServerMetric, WorkerMetric};

/// All workers' numbers at about the same moment; gauges are two's complement (`as i64`).
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// How many workers were added up.
    pub workers: usize,
    /// The pools in the layout's order.
    pub pools: Vec<PoolSnapshot>,
    pub(crate) values: [u64; WorkerMetric::COUNT],
}

/// A pool's numbers.
#[derive(Debug, Clone)]
pub struct PoolSnapshot {
    /// The pool's name.
    pub name: String,
    /// How long clients waited.
    pub latency: Distribution,
    /// The servers in the layout's order.
    pub servers: Vec<ServerSnapshot>,
    pub(crate) values: [u64; PoolMetric::COUNT],
}

/// A server's numbers.
#[derive(Debug, Clone)]
pub struct ServerSnapshot {
    /// The server's name.
    pub name: String,
    /// How long the server took.
    pub latency: Distribution,
    pub(crate) values: [u64; ServerMetric::COUNT],
}

impl Snapshot {
    /// A worker metric over all workers.
    pub fn worker(&self, metric: WorkerMetric) -> u64 {
        self.values[metric as usize]
    }
}

impl PoolSnapshot {
    /// One of the pool's numbers.
    pub fn value(&self, metric: PoolMetric) -> u64 {
        self.values[metric as usize]
    }
}

impl ServerSnapshot {
    /// One of the server's numbers.
    pub fn value(&self, metric: ServerMetric) -> u64 {
        self.values[metric as usize]
    }
}

impl Registry {
    /// Adds the workers' numbers up as they are now: counters and gauges are summed, of timestamps the latest counts.
    pub fn snapshot(&self) -> Snapshot {
        let workers = self.shards();
        let pools = self.layout().pools.iter().enumerate().map(|(p, pool)| {
            let of_pool: Vec<&PoolShard> = workers.iter().map(|w| w.pool_shard(p)).collect();
            let servers = pool.servers.iter().enumerate().map(|(s, name)| {
                let of_server: Vec<&ServerShard> = of_pool.iter().map(|p| &p.servers()[s]).collect();
                ServerSnapshot {
                    name: name.clone(),
                    latency: merged(of_server.iter().map(|s| &s.latency)),
                    values: ServerMetric::ALL.map(|m| total(m.row(), of_server.iter().map(|s| s.counter(m)))),
                }
            });
            PoolSnapshot {
                name: pool.name.clone(),
                latency: merged(of_pool.iter().map(|p| &p.latency)),
                servers: servers.collect(),
                values: PoolMetric::ALL.map(|m| total(m.row(), of_pool.iter().map(|p| p.counter(m)))),
            }
        });
        Snapshot {
            workers: workers.len(),
            pools: pools.collect(),
            values: WorkerMetric::ALL.map(|m| total(m.row(), workers.iter().map(|w| w.worker(m)))),
        }
    }
}

fn total<'a>(row: Row, counters: impl Iterator<Item = &'a Counter>) -> u64 {
    let values = counters.map(Counter::get);
    match row.kind {
        Kind::Counter | Kind::Gauge => values.fold(0, u64::wrapping_add),
        Kind::Timestamp => values.max().unwrap_or(0),
    }
}

fn merged<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Distribution {
    let mut all = Distribution::default();
    histograms.for_each(|histogram| all.merge(histogram));
    all
}
