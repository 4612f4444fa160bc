//! Every server's timeout: shown, and with `timeout: auto` looked after as `timeouts` says.

use crate::line;
use crate::plane::Plane;
use crate::timeouts::{Follower, LOOK_EVERY};
use config::{Settings, Timeout};
use stats::{Distribution, ServerMetric, Shard};
use std::time::{Duration, Instant};
use worker::Message;

/// The servers of pools with `timeout: auto`, by pool and server.
pub(crate) struct Followed {
    servers: Vec<Vec<Option<Server>>>,
    looked: Instant,
}

struct Server {
    follower: Follower,
    /// Whether it was not held for down at some time since the last look.
    was_up: bool,
}

impl Followed {
    /// Begins with the longest timeouts, and shows those of all servers on `shard`, the control plane's own.
    pub(crate) fn new(settings: &Settings, shard: &Shard, now: Instant) -> Followed {
        for (p, pool) in settings.pools.iter().enumerate() {
            let timeout_us = pool.timeout.longest().map_or(0, |longest| longest.0.saturating_mul(1000));
            for s in 0..pool.servers.len() {
                shard.server(p, s, ServerMetric::TimeoutUs).set(timeout_us);
            }
        }
        let follow = |timeout: Timeout| match timeout {
            Timeout::Auto { min, max } => {
                Some(Server { follower: Follower::new(min.into(), max.into(), now), was_up: true })
            }
            Timeout::Never | Timeout::After(_) => None,
        };
        let servers = settings.pools.iter().map(|p| p.servers.iter().map(|_| follow(p.timeout)).collect());
        Followed { servers: servers.collect(), looked: now }
    }
}

impl Plane {
    /// Has the timeouts follow their servers. To be called often: a server may be up for a moment only.
    pub(crate) fn follow_servers(&mut self, now: Instant) {
        let due = now.duration_since(self.followed.looked) >= LOOK_EVERY;
        if due {
            self.followed.looked = now;
        }
        for (p, servers) in self.followed.servers.iter_mut().enumerate() {
            for (s, followed) in servers.iter_mut().enumerate() {
                let Some(followed) = followed else { continue };
                followed.was_up |= !self.health[p][s].is_down();
                if !due {
                    continue;
                }
                let down = !std::mem::take(&mut followed.was_up);
                let mut counted = Distribution::default();
                let shards = self.registry.shards().iter();
                shards.for_each(|shard| counted.merge(&shard.server_shard(p, s).latency));
                let Some(micros) = followed.follower.look(counted, down, now) else { continue };
                self.shard.server(p, s, ServerMetric::TimeoutUs).set(micros);
                for worker in &self.workers {
                    worker.send(Message::Timeout { pool: p as u32, server: s as u32, micros });
                }
                let (pool, ms) = (&self.settings.pools[p], micros / 1000);
                let name = &pool.servers[s].name;
                line!(self.log, Info, "pool '{}': timeout of server '{name}' is now {ms} ms", pool.name);
            }
        }
    }
}

/// How long requests to a server may take now, as `shard`, the control plane's own, shows it; none: for ever.
pub(crate) fn timeout(shard: &Shard, pool: usize, server: usize) -> Option<Duration> {
    let shown_us = shard.server(pool, server, ServerMetric::TimeoutUs).get();
    (shown_us > 0).then(|| Duration::from_micros(shown_us))
}
