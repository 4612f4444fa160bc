//! INFO: of the proxy and the client's pool, in redis' form. What has no meaning here is left out, not made up.

use crate::core::Core;
use stats::{PoolMetric, WorkerMetric};
use wire::args::ArgView;

impl Core {
    /// What the client's pool passes for.
    pub(crate) fn redis_mode(&self, c: u32) -> &'static str {
        if self.is_cluster(c) { "cluster" } else { "standalone" }
    }

    /// The text of INFO.
    pub(crate) fn info(&self, c: u32, args: ArgView<'_>) -> String {
        let wanted = |section: &str| {
            let any = |name: &[u8]| {
                [section, "all", "everything", "default"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            };
            args.len() == 1 || args.iter().skip(1).any(any)
        };
        let pool = self.replies.clients[c].pool as usize;
        let view = self.view(c);
        let counted = |metric| -> u64 {
            self.process.registry.shards().iter().map(|shard| shard.pool(pool, metric).get()).sum()
        };
        let received = counted(PoolMetric::ClientConnections)
            + counted(PoolMetric::ClientEof)
            + counted(PoolMetric::ClientErr);
        let shards = self.process.registry.shards();
        let buffers = shards.iter().map(|shard| shard.worker(WorkerMetric::BufferBytes).get()).sum();
        let port = self.replies.clients[c].local.map_or(0, |local| local.port());
        let uptime = self.now.mono_us.saturating_sub(self.process.started_us) / 1_000_000;
        let own = &view.servers[..view.own];
        let live = own.iter().filter(|server| server.live).count();
        let sections = [
            (
                "Server",
                format!(
                    "redis_version:{}\r\nredis_mode:{}\r\ncashew_version:{}\r\nos:{} {}\r\n\
                     process_id:{}\r\ntcp_port:{port}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n",
                    view.redis_version,
                    self.redis_mode(c),
                    self.process.version,
                    std::env::consts::OS,
                    std::env::consts::ARCH,
                    self.process.pid,
                    uptime / 86_400
                ),
            ),
            (
                "Clients",
                format!(
                    "connected_clients:{}\r\nblocked_clients:{}\r\n",
                    counted(PoolMetric::ClientConnections),
                    counted(PoolMetric::BlockedClients)
                ),
            ),
            ("Memory", format!("used_memory:{buffers}\r\nused_memory_human:{}\r\n", human(buffers))),
            (
                "Stats",
                format!(
                    "total_connections_received:{received}\r\ntotal_commands_processed:{}\r\nrejected_connections:{}\r\ntotal_error_replies:{}\r\n",
                    counted(PoolMetric::ClientRequests),
                    counted(PoolMetric::ClientRefused),
                    counted(PoolMetric::ForwardError)
                ),
            ),
            ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_string()),
            ("Cluster", format!("cluster_enabled:{}\r\n", u8::from(self.is_cluster(c)))),
            ("Cashew", format!("pool:{}\r\nservers:{}\r\nservers_in:{live}\r\n", view.name, own.len())),
        ];
        let mut text = String::new();
        for (name, body) in sections.iter().filter(|(name, _)| wanted(name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str(&format!("# {name}\r\n{body}"));
        }
        text
    }
}

/// Bytes as redis writes them for people.
fn human(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => format!("{:.2}{letter}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}
