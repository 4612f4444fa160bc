//! The scenarios: what the clients ask for and how. A scenario is a point of a matrix, and its name says which (`Scenario::parse`
//! and `Scenario::name` are each other's reverse); `sets.rs` beside has the names that are run without being asked for. It knows
//! nothing of proxies or sockets.

mod sets;

use crate::report::grouped;
use anyhow::{Context as _, Result, bail, ensure};
pub(crate) use sets::{OTHERS, SETS, select};

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

/// One point of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// The protocol and so the kind of server.
    pub(crate) protocol: Protocol,
    /// Reads or writes.
    pub(crate) mix: Mix,
    /// Connections that ask.
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
    /// Connections beside that ask nothing.
    pub(crate) idle: usize,
}

use Mix::{Gets, GetsPerSet, Sets};
use Protocol::{Memcached, Redis};

/// `redis-get`: what a name does not mention.
pub(crate) const USUAL: Scenario = Scenario {
    protocol: Redis,
    mix: Gets,
    clients: 50,
    depth: 1,
    keys_per_get: 1,
    value_bytes: 64,
    keys: 10_000,
    reconnect: false,
    idle: 0,
};

impl Scenario {
    /// The scenario of a name:
    ///
    /// ```text
    ///   name     = protocol "-" what *( "-" part )
    ///   protocol = "redis" / "mc"
    ///   what     = "get" / "set" / "mix" / "connect" / "mget" N / "get" N     mix: 10 get : 1 set; connect: connect, get, close
    ///   part     = SIZE / ["c"] CLIENTS / ("pipe" / "p") DEPTH / ("idle" / "i") CLIENTS
    ///   SIZE     = N ("b" / "k" / "m")                                         of values; 64b without it
    /// ```
    ///
    /// # Errors
    /// When it is no such name, names a part twice, or a number is out of bounds; says which.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let mut words = name.split('-');
        let protocol = match words.next() {
            Some("redis") => Redis,
            Some("mc") => Memcached,
            other => bail!("'{}' in '{name}' is no protocol: redis or mc", other.unwrap_or_default()),
        };
        let mut scenario = Self { protocol, ..USUAL };
        let what = words.next().unwrap_or_default();
        scenario.ask(what).with_context(|| format!("what is '{what}' in '{name}'?"))?;
        let mut seen = Vec::new();
        for word in words {
            let part = scenario.part(word).with_context(|| format!("what is '{word}' in '{name}'?"))?;
            ensure!(!seen.contains(&part), "'{name}' says {part} twice");
            seen.push(part);
        }
        let fitting = (VALUES_BYTES / scenario.value_bytes) as u32;
        scenario.keys = fitting.clamp(KEYS_MIN, USUAL.keys).max(scenario.keys_per_get);
        Ok(scenario)
    }

    /// Takes a name's second word.
    fn ask(&mut self, word: &str) -> Result<()> {
        match word {
            "get" => {}
            "set" => self.mix = Sets,
            "mix" => self.mix = GetsPerSet(MIX_GETS),
            "connect" => self.reconnect = true,
            _ => {
                let keys = match self.protocol {
                    Redis => word.strip_prefix("mget"),
                    Memcached => word.strip_prefix("get").or(word.strip_prefix("mget")),
                };
                self.keys_per_get =
                    number(keys.context("get, set, mix, connect, mgetN")?, 2, KEYS_PER_GET_MAX.into())?
                        as u32;
            }
        }
        Ok(())
    }

    /// Takes a later word, and says what it is about.
    fn part(&mut self, word: &str) -> Result<&'static str> {
        let unit = |letter| word.strip_suffix(letter);
        let size = unit('b').zip(Some(1)).or(unit('k').zip(Some(1 << 10))).or(unit('m').zip(Some(1 << 20)));
        if let Some((digits, unit)) = size {
            self.value_bytes = number(digits, 1, VALUE_BYTES_MAX / unit)? as usize * unit as usize;
            // Values are told apart by their beginnings.
            ensure!(self.value_bytes >= VALUE_BYTES_MIN, "values have at least {VALUE_BYTES_MIN} bytes");
            return Ok("size");
        }
        if let Some(digits) = word.strip_prefix("pipe").or(word.strip_prefix('p')) {
            self.depth = number(digits, 1, DEPTH_MAX)? as u32;
            return Ok("pipe");
        }
        if let Some(digits) = word.strip_prefix("idle").or(word.strip_prefix('i')) {
            self.idle = number(digits, 1, CLIENTS_MAX)? as usize;
            return Ok("idle");
        }
        self.clients = number(word.strip_prefix('c').unwrap_or(word), 1, CLIENTS_MAX)? as usize;
        Ok("clients")
    }

    /// The name for `--only` and in results, in its shortest form.
    pub(crate) fn name(&self) -> String {
        let protocol = if self.protocol == Redis { "redis" } else { "mc" };
        let what = match (self.mix, self.keys_per_get) {
            (Gets, 1) if self.reconnect => "connect".to_owned(),
            (Gets, 1) => "get".to_owned(),
            (Gets, keys) if self.protocol == Redis => format!("mget{keys}"),
            (Gets, keys) => format!("get{keys}"),
            (Sets, _) => "set".to_owned(),
            (GetsPerSet(_), _) => "mix".to_owned(),
        };
        let mut name = format!("{protocol}-{what}");
        let mut add = |part: String, usual: bool| {
            if !usual {
                name.extend(["-", &part]);
            }
        };
        add(size(self.value_bytes), self.value_bytes == USUAL.value_bytes);
        add(self.clients.to_string(), self.clients == USUAL.clients);
        add(format!("pipe{}", self.depth), self.depth == USUAL.depth);
        add(format!("idle{}", self.idle), self.idle == USUAL.idle);
        name
    }

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
        let beside = if self.idle > 0 { format!(" beside {} idle", self.idle) } else { String::new() };
        format!("{protocol} {what}, {} B values, {} clients{beside}, {how}", self.value_bytes, self.clients)
    }

    /// A few words for a table or a chart: what it is beside 50 clients and 64 bytes.
    pub(crate) fn title(&self) -> String {
        let redis = self.protocol == Redis;
        let what = match self.mix {
            Gets if self.keys_per_get > 1 && redis => format!("MGET of {}", self.keys_per_get),
            Gets if self.keys_per_get > 1 => format!("get of {}", self.keys_per_get),
            Gets if self.reconnect => "connect, GET, close".to_owned(),
            Gets => if redis { "GET" } else { "get" }.to_owned(),
            Sets => if redis { "SET" } else { "set" }.to_owned(),
            GetsPerSet(gets) => format!("{gets} get : 1 set"),
        };
        let bytes = self.value_bytes;
        let size = match bytes {
            _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
            _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
            _ => format!("{bytes} B"),
        };
        let mut text = format!("{} {what}", if redis { "redis" } else { "memcached" });
        let parts = [
            (size, bytes == USUAL.value_bytes),
            (format!("{} clients", grouped(self.clients as u64)), self.clients == USUAL.clients),
            (format!("pipelined by {}", self.depth), self.depth == USUAL.depth),
            (format!("{} idle beside", grouped(self.idle as u64)), self.idle == USUAL.idle),
        ];
        parts.iter().filter(|(_, usual)| !usual).for_each(|(part, _)| text.extend([", ", part]));
        text
    }

    /// Connections of clients, asking and idle.
    pub(crate) fn connections(&self) -> usize {
        self.clients + self.idle
    }
}

fn number(digits: &str, least: u64, most: u64) -> Result<u64> {
    let number =
        digits.parse().ok().filter(|number| (least..=most).contains(number) && !digits.starts_with('+'));
    number.with_context(|| format!("'{digits}' is no number from {least} to {most}"))
}

fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}m", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}k", bytes >> 10),
        _ => format!("{bytes}b"),
    }
}

/// Reads for each write of `mix`.
const MIX_GETS: u32 = 10;
/// All values together: enough to leave the processor's caches, and no more than servers take quickly.
const VALUES_BYTES: usize = 16_384_000;
/// Keys of the largest values; some for each server.
const KEYS_MIN: u32 = 32;
/// As many as a check of a multi-get's reply can tick off.
pub(crate) const KEYS_PER_GET_MAX: u32 = 128;
/// No two of our keys' values share so many bytes at their beginning.
const VALUE_BYTES_MIN: usize = 16;
/// What fits the memory given to memcached.
const VALUE_BYTES_MAX: u64 = 4 << 20;
/// All requests of a batch are in memory.
const DEPTH_MAX: u64 = 10_000;
/// Twice that and a few servers leave ports of the loopback interface.
const CLIENTS_MAX: u64 = 12_000;

#[cfg(test)]
mod tests;
