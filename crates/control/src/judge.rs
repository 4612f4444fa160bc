//! Carrying out what `health` decides: the log, the counters, the workers.

use crate::health::{Failure, Rules, Verdict};
use crate::line;
use crate::plane::{Plane, Probed, seed};
use engine::error::Cause;
use stats::{PoolMetric, ServerMetric};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use worker::Message;

impl Plane {
    pub(crate) fn rules(&self, pool: usize, server: usize) -> Rules {
        let pool = &self.settings.pools[pool];
        Rules {
            // Nobody stands in for a standby.
            ejects: pool.on_failure.ejects() && !pool.servers[server].standby,
            failure_limit: pool.server_failure_limit,
            retry_after: Duration::from_millis(pool.server_retry_timeout.0),
        }
    }

    /// Whether the pool may lose one more server (`max_ejected_percent`).
    fn has_room(&self, pool: usize) -> bool {
        let own = self.settings.pools[pool].own_servers().len();
        let out = self.health[pool].iter().take(own).filter(|health| !health.is_in()).count();
        let percent = self.settings.pools[pool].max_ejected_percent as usize;
        (out + 1) * 100 <= percent * own
    }

    pub(crate) fn server_failed(&mut self, pool: usize, server: usize, failure: Failure) {
        let (rules, room, chance) = (self.rules(pool, server), self.has_room(pool), self.chance());
        let verdict = self.health[pool][server].failed(failure, rules, room, Instant::now(), chance);
        self.carry_out(pool, server, verdict);
    }

    pub(crate) fn take_probe(&mut self, probed: &Probed) {
        let &Probed { pool, server, answered } = probed;
        let (rules, room, chance) = (self.rules(pool, server), self.has_room(pool), self.chance());
        let Some(answered) = answered else {
            return self.health[pool][server].not_probed(rules, Instant::now(), chance);
        };
        let verdict = self.health[pool][server].probed(answered, rules, room, Instant::now(), chance);
        self.carry_out(pool, server, verdict);
    }

    fn carry_out(&mut self, pool: usize, server: usize, verdict: Verdict) {
        let settings = self.settings.clone();
        let (owner, name) = (&settings.pools[pool].name, &settings.pools[pool].servers[server].name);
        if let Some(cause) = verdict.down {
            line!(
                self.log,
                Warning,
                "pool '{owner}': server '{name}' is down ({}), probing it",
                cause.text()
            );
            self.tell_workers(pool, server, Some(cause));
        }
        if verdict.eject {
            let unix_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
            self.shard.pool(pool, PoolMetric::ServerEjects).add(1);
            self.shard.server(pool, server, ServerMetric::ServerEjectedAt).set(unix_us);
            let retry = settings.pools[pool].server_retry_timeout.0;
            line!(self.log, Warning, "pool '{owner}': server '{name}' is ejected, next probe in {retry} ms");
            self.settle(pool, server);
        }
        if verdict.recovered {
            line!(self.log, Warning, "pool '{owner}': server '{name}' answers again");
            // In this order: a server that is in again and still counts as down would fail its keys.
            self.tell_workers(pool, server, None);
            self.settle(pool, server);
            self.learning[pool].server_returned(Instant::now());
        }
    }

    fn tell_workers(&self, pool: usize, server: usize, down: Option<Cause>) {
        for worker in &self.workers {
            worker.send(Message::Server { pool: pool as u32, server: server as u32, down });
        }
    }

    /// A number in 0..1 that differs from process to process and time to time.
    pub(crate) fn chance(&self) -> f64 {
        f64::from(seed(0) as u32) / f64::from(u32::MAX)
    }
}
