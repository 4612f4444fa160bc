//! The scenarios, one row each: what the clients ask for and how. It knows nothing of proxies or sockets.

use anyhow::{Result, bail};

/// The protocol that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP2, against redis-server.
    Redis,
    /// Memcached's classic text protocol, against memcached.
    Memcached,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Only reads.
    Gets,
    /// Only writes.
    Sets,
    /// This many reads for each write, in random order.
    GetsPerSet(u32),
}

/// One row of the table below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The name for `--only` and in results.
    pub(crate) name: &'static str,
    /// The protocol and so the kind of server.
    pub(crate) protocol: Protocol,
    /// Reads or writes.
    pub(crate) mix: Mix,
    /// Connections.
    pub(crate) clients: usize,
    /// Requests a client sends at once before it waits for all of their replies; 1 is unpipelined.
    pub(crate) depth: u32,
    /// Keys of one read; above 1 it is an MGET or a multi-get.
    pub(crate) keys_per_get: u32,
    /// Bytes of each value.
    pub(crate) value_bytes: usize,
    /// Keys stored beforehand and asked for, all equally often.
    pub(crate) keys: u32,
    /// Connect for each batch of requests and close after it.
    pub(crate) reconnect: bool,
}

use Mix::{Gets, GetsPerSet, Sets};
use Protocol::{Memcached, Redis};

/// What most rows share.
const USUAL: Scenario = Scenario {
    name: "",
    protocol: Redis,
    mix: Gets,
    clients: 50,
    depth: 1,
    keys_per_get: 1,
    value_bytes: 64,
    keys: 10_000,
    reconnect: false,
};

/// Every scenario; a new one is a new row.
#[rustfmt::skip] // a table: one row, one line
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "redis-get", ..USUAL },
    Scenario { name: "redis-set", mix: Sets, ..USUAL },
    Scenario { name: "redis-mix", mix: GetsPerSet(10), ..USUAL },
    Scenario { name: "redis-get-500", clients: 500, ..USUAL },
    Scenario { name: "redis-get-1000", clients: 1_000, ..USUAL },
    Scenario { name: "redis-get-pipe16", depth: 16, ..USUAL },
    Scenario { name: "redis-set-pipe16", mix: Sets, depth: 16, ..USUAL },
    Scenario { name: "redis-mget20", keys_per_get: 20, ..USUAL },
    // A tenth of the keys: 16 MB of values are enough to leave the processor's caches.
    Scenario { name: "redis-get-16k", value_bytes: 16 * 1024, keys: 1_000, ..USUAL },
    Scenario { name: "redis-connect", reconnect: true, ..USUAL },
    Scenario { name: "mc-get", protocol: Memcached, ..USUAL },
    Scenario { name: "mc-mix", protocol: Memcached, mix: GetsPerSet(10), ..USUAL },
    Scenario { name: "mc-get-pipe16", protocol: Memcached, depth: 16, ..USUAL },
    Scenario { name: "mc-get20", protocol: Memcached, keys_per_get: 20, ..USUAL },
];

impl Scenario {
    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        let protocol = match self.protocol {
            Redis => "redis",
            Memcached => "memcached",
        };
        let keys = self.keys_per_get;
        let what = match self.mix {
            Gets if keys > 1 => format!("get of {keys} keys"),
            Gets => "get".to_owned(),
            Sets => "set".to_owned(),
            GetsPerSet(gets) => format!("{gets} get : 1 set"),
        };
        let how = match (self.reconnect, self.depth) {
            (true, _) => "connect, request, close".to_owned(),
            (false, 1) => "unpipelined".to_owned(),
            (false, depth) => format!("pipelined by {depth}"),
        };
        format!("{protocol} {what}, {} B values, {} clients, {how}", self.value_bytes, self.clients)
    }
}

/// The scenarios whose names are, or begin with, one of the comma-separated words of `only`; all without it.
///
/// # Errors
/// When a word fits no scenario.
pub(crate) fn select(only: Option<&str>) -> Result<Vec<Scenario>> {
    let Some(only) = only else { return Ok(SCENARIOS.to_vec()) };
    let words: Vec<&str> = only.split(',').collect();
    if let Some(word) = words.iter().find(|word| !SCENARIOS.iter().any(|row| fits(row, word))) {
        let names: Vec<&str> = SCENARIOS.iter().map(|row| row.name).collect();
        bail!("no scenario is called or begins with '{word}'; there are: {}", names.join(" "));
    }
    Ok(SCENARIOS.iter().filter(|row| words.iter().any(|word| fits(row, word))).copied().collect())
}

/// A full name means that row alone, even where other names go on from it.
fn fits(row: &Scenario, word: &str) -> bool {
    let exact = SCENARIOS.iter().any(|row| row.name == word);
    if exact { row.name == word } else { !word.is_empty() && row.name.starts_with(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        let check = |only: &str, expected: &[&str]| {
            let names: Vec<&str> = select(Some(only)).unwrap().iter().map(|row| row.name).collect();
            assert_eq!(names, expected, "--only {only}");
        };
        check("redis-get", &["redis-get"]);
        check("redis-get-", &["redis-get-500", "redis-get-1000", "redis-get-pipe16", "redis-get-16k"]);
        check("mc-mix,redis-set", &["redis-set", "mc-mix"]);
        check("redis-set-p", &["redis-set-pipe16"]);
        assert_eq!(select(None).unwrap().len(), SCENARIOS.len());
        assert!(select(Some("redis-get,nothing")).is_err());
        assert!(select(Some("")).is_err());
    }

    #[test]
    fn rows_are_sound() {
        for (at, row) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..at].iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert!(row.clients > 0 && row.depth > 0, "{}", row.name);
            assert!((1..=row.keys.min(64)).contains(&row.keys_per_get), "{}", row.name);
        }
    }
}
