//! How many clients the process can take: what the descriptor limit leaves after servers and the rest.

use config::Settings;
use engine::limits::{FLOWS_PER_WORKER, LANES_PER_WORKER, SPARES_PER_WORKER};

/// Descriptors for the log, the reactors, the stats port, and whatever a library opens.
const RESERVED: u64 = 32;

/// Descriptors per worker beside its connections: reactor, its ring, mailbox, spare, clients refused in one tick, clients on
/// their way out, and connections for large values.
const PER_WORKER: u64 = 4
    + 4
    + worker::linger::LINGERING_MAX as u64
    + (LANES_PER_WORKER + FLOWS_PER_WORKER + SPARES_PER_WORKER) as u64;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The descriptor limit of the process, after raising it.
    pub max_fds: u64,
    /// The most connections to servers, of all workers, and the listening sockets.
    pub server_conns: u64,
    /// What is left for clients.
    pub client_conns: u64,
}

impl Capacity {
    /// Shares out `max_fds`; an error names the limit that would do.
    pub fn new(settings: &Settings, workers: u64, max_fds: u64) -> Result<Capacity, u64> {
        let per_worker: u64 = (settings.pools.iter())
            .map(|pool| {
                let each = u64::from(pool.server_connections) * protocols(pool) + feeds(pool);
                pool.servers.len() as u64 * each
            })
            .fold(0, u64::saturating_add);
        let server_conns = per_worker.saturating_mul(workers).saturating_add(settings.pools.len() as u64);
        let taken = server_conns.saturating_add(RESERVED).saturating_add(workers.saturating_mul(PER_WORKER));
        match max_fds.checked_sub(taken) {
            Some(client_conns) if client_conns > 0 => Ok(Capacity { max_fds, server_conns, client_conns }),
            _ => Err(taken.saturating_add(1)),
        }
    }
}

/// Redis clients speak RESP2 or RESP3, or RESP3 and keep what they read: each of these has connections of its own.
fn protocols(pool: &config::Pool) -> u64 {
    if pool.protocol == config::Protocol::Redis { 3 } else { 1 }
}

/// The messages that redis clients are subscribed to come on a connection of their own, and so does what they are told of
/// prefixes.
fn feeds(pool: &config::Pool) -> u64 {
    if pool.protocol == config::Protocol::Redis { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(servers: usize) -> Settings {
        let mut text = String::from("a:\n  listen: 127.0.0.1:1\n  servers:\n");
        (0..servers).for_each(|n| text.push_str(&format!("   - 127.0.0.1:{}:1\n", 1000 + n)));
        config::load(&text, &config::system_resolver).expect("the settings are fine")
    }

    #[test]
    fn clients_get_what_servers_leave() {
        let capacity = Capacity::new(&settings(16), 1, 1024).unwrap();
        assert_eq!(capacity.server_conns, 17);
        assert_eq!(capacity.client_conns, 1024 - 17 - RESERVED - PER_WORKER);
        assert_eq!(Capacity::new(&settings(16), 2, 1024).unwrap().server_conns, 33);
    }

    #[test]
    fn too_few_descriptors_say_how_many_would_do() {
        let needed = Capacity::new(&settings(100), 2, 64).unwrap_err();
        assert!(Capacity::new(&settings(100), 2, needed).is_ok());
        assert!(Capacity::new(&settings(100), 2, needed - 1).is_err());
    }
}
