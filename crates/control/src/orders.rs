//! Orders of `cashew ctl`, carried out by the control plane.

use crate::admin::ctl::Order;
use crate::capacity::Capacity;
use crate::follow::timeout;
use crate::line;
use crate::plane::Plane;
use std::fmt::Write;

impl Plane {
    pub(crate) fn serve_control(&mut self) {
        let Some(socket) = self.control.take() else { return };
        let (orders, log) = (self.orders.0.clone(), self.log.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = socket.serve(orders).await {
                line!(log, Error, "the control socket ended: {error}");
            }
        });
    }

    pub(crate) fn order(&mut self, order: &Order) -> Result<String, String> {
        match order {
            Order::Servers => Ok(self.servers()),
            Order::Drain { pool, server } => self.drain(pool, server, true),
            Order::Restore { pool, server } => self.drain(pool, server, false),
            Order::Limit(wanted) => self.lift_limit(*wanted),
        }
    }

    fn servers(&self) -> String {
        let mut text = String::from("pool server address state timeout\n");
        for (p, pool) in self.settings.pools.iter().enumerate() {
            for (s, server) in pool.servers.iter().enumerate() {
                let state = self.word(p, s);
                let timeout = timeout(&self.shard, p, s)
                    .map_or("-".to_string(), |timeout| format!("{}ms", timeout.as_millis()));
                // Writing to a string cannot fail.
                _ = writeln!(text, "{} {} {} {state} {timeout}", pool.name, server.name, server.address);
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn drain(&mut self, pool: &str, server: &str, out: bool) -> Result<String, String> {
        let known = |names: Vec<&str>| names.join(", ");
        let pools = &self.settings.pools;
        let p = pools.iter().position(|known| known.name == pool).ok_or_else(|| {
            format!(
                "there is no pool '{pool}'; there are {}",
                known(pools.iter().map(|p| p.name.as_str()).collect())
            )
        })?;
        let servers = &pools[p].servers;
        let s = servers.iter().position(|known| known.name == server).ok_or_else(|| {
            let names = known(servers.iter().map(|s| s.name.as_str()).collect());
            format!("pool '{pool}' has no server '{server}'; it has {names}")
        })?;
        let word = if out { "drained" } else { "restored" };
        self.drained[p][s] = out;
        line!(self.log, Warning, "pool '{pool}': server '{server}' is {word} by order");
        self.settle(p, s);
        let later = match self.word(p, s) {
            "returning" => "; it serves again once its old data is dealt with (on_return)",
            "ejected" => "; it serves again once it answers a probe",
            _ => "",
        };
        Ok(format!("server '{server}' of pool '{pool}' is {word}{later}"))
    }

    fn lift_limit(&mut self, wanted: Option<u64>) -> Result<String, String> {
        let now = self.info.capacity.get().max_fds;
        if let Some(wanted) = wanted {
            if wanted < now {
                return Err(format!("the limit is {now} and is not lowered while clients are served"));
            }
            reactor::set_nofile(wanted).map_err(|error| {
                format!("the system does not allow {wanted} descriptors: {error} (as root: prlimit --nofile)")
            })?;
        }
        let max_fds = wanted.unwrap_or_else(|| reactor::raise_nofile().0);
        let capacity = Capacity::new(&self.settings, self.workers.len() as u64, max_fds)
            .map_err(|needed| format!("{max_fds} descriptors leave nothing for clients; {needed} would"))?;
        self.info.gate.set_max(capacity.client_conns);
        self.info.capacity.set(capacity);
        line!(self.log, Warning, "max fds {max_fds} max client conns {} by order", capacity.client_conns);
        Ok(format!("max fds {max_fds}, max client conns {}", capacity.client_conns))
    }
}
