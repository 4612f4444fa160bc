//! `bench memory`: how much memory proxies take where clients give them reason to, and whether it comes back.
//!
//! ```text
//!   memory ──→ situation ──→ idle, large             what clients do; a row per situation
//!     │            ├───────→ push                    many clients that send and do not read
//!     │            └───────→ neighbour               another client, whose requests must go on
//!     ├──────→ watch                                 what the proxy's process takes meanwhile
//!     └──────→ summary                               the table
//! ```
//! Each proxy meets each situation in a fresh process, in front of four fresh redis.

mod idle;
mod large;
mod neighbour;
mod push;
mod situation;
mod summary;
mod watch;

use crate::data::Data;
use crate::load::raise_descriptor_limit;
use crate::machine::{Machine, commit, compiler, now_utc};
use crate::measure::rss_bytes;
use crate::preload::{preload, store};
use crate::process::{TempDir, find_program, version_of};
use crate::proxies::{Kind, Paths, Program, server_program, start_servers};
use crate::record::bench_dir;
use crate::report::grouped;
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, ensure};
use neighbour::Seen;
use serde::{Deserialize, Serialize};
pub(crate) use situation::SITUATIONS;
use situation::{Play, Situation};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
pub(crate) use summary::render;
use watch::Watch;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// Only situations whose names begin so; separated by commas.
    pub(crate) only: Option<String>,
    /// A program to use instead of building it.
    pub(crate) paths: Paths,
    /// Keep the results among those of the project.
    pub(crate) save: bool,
}

/// All that came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemoryRecord {
    /// When it began, UTC.
    pub(crate) date: String,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What each program says of its version.
    pub(crate) versions: BTreeMap<String, String>,
    /// What a reader has to know.
    pub(crate) notes: Vec<String>,
    /// One per situation and proxy.
    pub(crate) rows: Vec<Row>,
}

/// What one proxy took in one situation. Sizes are of its process in RAM (`VmRSS`), in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The situation's name.
    pub(crate) situation: String,
    /// The situation in words.
    pub(crate) what: String,
    /// The proxy's name.
    pub(crate) proxy: String,
    /// Clients that were connected for it.
    pub(crate) clients: u64,
    /// Before: after its start and some requests to every server.
    pub(crate) base_bytes: u64,
    /// The most at any moment since then (`VmHWM`).
    pub(crate) peak_bytes: u64,
    /// The most that the servers behind it had together, beside what they had before.
    pub(crate) servers_bytes: u64,
    /// With all clients still there and nothing growing any more.
    pub(crate) held_bytes: Option<u64>,
    /// With all clients gone and nothing shrinking any more.
    pub(crate) after_bytes: Option<u64>,
    /// What another client saw meanwhile.
    pub(crate) neighbour: Option<Seen>,
    /// What else is worth knowing.
    pub(crate) remarks: Vec<String>,
    /// Why it did not come to its end.
    pub(crate) failure: Option<String>,
}

/// Puts every proxy into every situation; `stop` ends it early.
///
/// # Errors
/// When servers cannot be started, no situation is called so, or `stop` is set.
pub(crate) fn memory(options: &Options, stop: &AtomicBool) -> Result<MemoryRecord> {
    let descriptors = raise_descriptor_limit(SPARE_DESCRIPTORS)?;
    let situations = select(options.only.as_deref())?;
    let mut record = MemoryRecord {
        date: now_utc(),
        machine: Machine::describe(),
        versions: [("rustc".to_owned(), compiler()), ("commit".to_owned(), commit(&bench_dir()))].into(),
        notes: Vec::new(),
        rows: Vec::new(),
    };
    let (redis, flag) = server_program(Protocol::Redis);
    let redis = find_program(redis).context("redis-server is not installed")?;
    record.versions.insert("redis-server".to_owned(), version_of(&redis, flag));
    let found = Program::find_all(&options.proxies, &options.paths);
    record.versions.extend(found.versions);
    record.notes.extend(found.missing);
    let programs = found.programs;
    for situation in situations {
        for program in &programs {
            eprintln!("bench: {}: {}", program.kind.name(), situation.what);
            let row = measure(situation, program, descriptors, stop);
            ensure!(!stop.load(Ordering::Relaxed), "stopped");
            record.rows.push(row.with_context(|| format!("{}, {}", situation.name, program.kind.name()))?);
        }
    }
    Ok(record)
}

/// The situations whose names begin with one of the comma-separated words; all without them.
fn select(only: Option<&str>) -> Result<Vec<&'static Situation>> {
    let wanted = |name: &str| only.is_none_or(|only| only.split(',').any(|word| name.starts_with(word)));
    let chosen: Vec<&Situation> = SITUATIONS.iter().filter(|it| wanted(it.name)).collect();
    let names: Vec<&str> = SITUATIONS.iter().map(|it| it.name).collect();
    ensure!(!chosen.is_empty(), "no situation is called so; there are {}", names.join(", "));
    Ok(chosen)
}

/// One row. What the proxy does wrong is in it; an error is for what the bench cannot do.
fn measure(situation: &Situation, program: &Program, descriptors: u64, stop: &AtomicBool) -> Result<Row> {
    let dir = TempDir::new()?;
    let servers = start_servers(Protocol::Redis, &dir.0, stop)?;
    let mut proxy = program.start(Protocol::Redis, &servers, &dir.0, stop)?.context("no proxy at all")?;
    // Each server gets the large values under the same names, so whichever the proxy asks has them, and the proxy itself
    // has never seen them.
    let keys: Vec<u32> = (0..situation.values).map(|number| 1 + number * KEY_STEP).collect();
    let values = Data::new(keys.last().copied().unwrap_or(0), situation.value_bytes);
    servers.iter().try_for_each(|server| store(server.address, Protocol::Redis, &values, &keys))?;
    preload(proxy.address, Protocol::Redis, &Data::new(FIRST_KEYS, 64))?;

    let servers_before: u64 = servers.iter().filter_map(|server| rss_bytes(server.pid()).ok()).sum();
    let pids: Vec<u32> = servers.iter().map(|server| server.pid()).collect();
    let watch = Watch::start(proxy.pid(), pids)?;
    let base_bytes = watch.settle(CALM_BEFORE, stop)?;
    watch.forget_peak();
    let sockets_each = if program.kind == Kind::Haproxy { 2 } else { 1 };
    let fitting = descriptors.saturating_sub(SPARE_DESCRIPTORS) / sockets_each;
    let mut play = Play {
        target: proxy.address,
        clients: situation.clients.min(usize::try_from(fitting).unwrap_or(usize::MAX)),
        keys: &keys,
        values: &values,
        watch: &watch,
        stop,
        row: Row {
            situation: situation.name.to_owned(),
            what: situation.what.to_owned(),
            proxy: program.kind.name().to_owned(),
            base_bytes,
            ..Row::default()
        },
    };
    if play.clients < situation.clients {
        let limit = format!(
            "{} clients: there are no more descriptors (ulimit -Hn is {descriptors})",
            grouped(play.clients as u64)
        );
        play.row.remarks.push(limit);
    }
    play.row.clients = play.clients as u64;
    let played = (situation.play)(&mut play);
    let mut row = play.row;
    // A proxy that died, or was stopped, explains more than a connection that closed.
    let alive = if played.is_err() { proxy.check_survived() } else { proxy.check_alive() };
    row.failure = match (watch.breach(), alive, played) {
        (Some(breach), _, _) => Some(breach),
        (None, Err(ended), _) => Some(format!("{ended:#}")),
        (None, Ok(()), Err(error)) => Some(format!("{error:#}")),
        (None, Ok(()), Ok(())) => None,
    };
    // One that was stopped is gone, and its memory says nothing.
    row.after_bytes = watch.settle(CALM_AFTER, stop).ok();
    row.peak_bytes = watch.peak().max(base_bytes);
    row.servers_bytes = watch.servers_peak().saturating_sub(servers_before);
    Ok(row)
}

impl MemoryRecord {
    /// Whether cashew did not come to the end of something, or a client read what was not its reply.
    pub(crate) fn failed(&self) -> bool {
        let cashew = self.rows.iter().filter(|row| row.proxy == Kind::Cashew.name());
        cashew.into_iter().any(|row| {
            row.failure.is_some() || row.neighbour.as_ref().is_some_and(|seen| seen.failure.is_some())
        })
    }
}

/// A proxy that was just started has settled after so long without a change.
const CALM_BEFORE: Duration = Duration::from_secs(1);
/// One whose clients are gone gets longer: it may give memory back by a timer.
const CALM_AFTER: Duration = Duration::from_secs(5);
/// Stored through the proxy before its memory is first looked at: so many keys are on all four servers.
const FIRST_KEYS: u32 = 2_000;
/// Between the numbers of two keys that are asked for: with FNV hashes, keys that differ in the last letter only are on the
/// same server.
const KEY_STEP: u32 = 617;
/// Those of a process beside its clients': standard streams, servers, libraries.
const SPARE_DESCRIPTORS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn situations_are_chosen_by_the_beginning_of_their_names() {
        let check = |only: &str, expected: &[&str]| {
            let names: Vec<&str> = select(Some(only)).unwrap().iter().map(|it| it.name).collect();
            assert_eq!(names, expected, "--only {only}");
        };
        check("idle", &["idle", "idle-asked"]);
        check("burst,pipe", &["pipelined", "burst"]);
        assert_eq!(select(None).unwrap().len(), SITUATIONS.len());
        assert!(select(Some("flood")).is_err());
    }

    #[test]
    fn only_what_cashew_does_fails_the_run() {
        let row = |proxy: Kind, failure: Option<&str>| Row {
            proxy: proxy.name().to_owned(),
            failure: failure.map(str::to_owned),
            ..Row::default()
        };
        let mut record = MemoryRecord {
            date: String::new(),
            machine: Machine::describe(),
            versions: BTreeMap::new(),
            notes: Vec::new(),
            rows: vec![row(Kind::Cashew, None), row(Kind::Nutcracker, Some("died"))],
        };
        assert!(!record.failed());
        record.rows[0].neighbour = Some(Seen { failure: Some("wrong".to_owned()), ..Seen::default() });
        assert!(record.failed());
        record.rows[0] = row(Kind::Cashew, Some("died"));
        assert!(record.failed());
    }
}
