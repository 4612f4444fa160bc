//! `bench chaos`: real servers fail in every way that needs no privileges, one after the other, under a steady load
//! whose every reply is verified.
//!
//! ```text
//!   chaos ──→ stage ──→ fault                      what fails, for how long, and when all is well again
//!     │         ├─────→ farm                       servers, and the proxy between
//!     │         ├─────→ network ──→ link           a forwarder before each server, which breaks what passes
//!     │         └─────→ crowd ──→ ask, reply       the clients
//!     │                   └─────→ ledger, tally    what is right; what was seen
//!     └─────→ summary                              the table
//! ```
//! What is right never depends on the clock: values name their key and version, and counters count.

mod ask;
mod crowd;
mod farm;
mod fault;
mod ledger;
mod network;
mod reply;
mod stage;
mod summary;
mod tally;

use crate::data::Rng;
use crate::load::raise_descriptor_limit;
use crate::machine::{Machine, commit, now_utc};
use crate::process::{find_program, version_of};
use crate::proxies::{Kind, Paths, Program, server_program};
use crate::record::bench_dir;
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, ensure};
use fault::FAULTS;
use serde::{Deserialize, Serialize};
use stage::Stage;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
pub(crate) use summary::render;
use tally::Outcome;

/// A pool of the proxy. All have the same servers, so one fault meets all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    /// In the configuration.
    pub(crate) name: &'static str,
    /// Its servers'.
    pub(crate) protocol: Protocol,
    /// Whether failing servers are taken out.
    pub(crate) ejects: bool,
}

#[rustfmt::skip] // a table: one row, one line
pub(crate) const POOLS: [Pool; 4] = [
    Pool { name: "redis_keep",      protocol: Protocol::Redis,     ejects: false },
    Pool { name: "redis_eject",     protocol: Protocol::Redis,     ejects: true },
    Pool { name: "memcached_keep",  protocol: Protocol::Memcached, ejects: false },
    Pool { name: "memcached_eject", protocol: Protocol::Memcached, ejects: true },
];

/// Servers of each protocol.
pub(crate) const SERVERS: usize = 4;

/// One client's part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// The pool that it talks to.
    pub(crate) pool: usize,
    /// It asks only for this server's keys, so no other server can hold it up.
    pub(crate) only: Option<usize>,
    /// The most requests that it sends at once.
    pub(crate) depth: u32,
}

/// Per pool: one client for each server and six for all of them; every second one pipelines.
fn seats() -> Vec<Seat> {
    let of_pool = |pool| {
        (0..SERVERS + 6).map(move |number| Seat {
            pool,
            only: (number < SERVERS).then_some(number),
            depth: if number % 2 == 0 { 16 } else { 1 },
        })
    };
    (0..POOLS.len()).flat_map(of_pool).collect()
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Decides order and place of the faults, and all that clients ask.
    pub(crate) seed: u64,
    /// About how long a proxy's run takes.
    pub(crate) seconds: u32,
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// Only faults whose names begin so; separated by commas.
    pub(crate) only: Option<String>,
    /// A program to use instead of building it.
    pub(crate) paths: Paths,
    /// cashew's worker threads.
    pub(crate) threads: u32,
    /// Keep the results among those of the project.
    pub(crate) save: bool,
}

/// All that came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChaosRecord {
    /// When it began, UTC.
    pub(crate) date: String,
    /// With the same seed the same faults meet the same servers in the same order.
    pub(crate) seed: u64,
    /// cashew's worker threads.
    pub(crate) threads: u32,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What each program says of its version.
    pub(crate) versions: BTreeMap<String, String>,
    /// What a reader has to know.
    pub(crate) notes: Vec<String>,
    /// One per proxy.
    pub(crate) runs: Vec<Run>,
}

/// One proxy's run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The proxy.
    pub(crate) proxy: String,
    /// In the order of the schedule.
    pub(crate) faults: Vec<FaultRecord>,
    /// Why it stopped before its end.
    pub(crate) ended: Option<String>,
    /// Open descriptors of the proxy before the first fault and after the last.
    pub(crate) descriptors: (u64, u64),
    /// Its memory at the same moments.
    pub(crate) rss_kib: (u64, u64),
}

/// What one fault did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultRecord {
    /// Its name.
    pub(crate) fault: String,
    /// The server that failed, from 1.
    pub(crate) server: Option<usize>,
    /// By pool.
    pub(crate) pools: BTreeMap<String, Outcome>,
}

/// Runs every proxy through the same faults; `stop` ends it early.
///
/// # Errors
/// When servers or proxies cannot be started, or `stop` is set.
pub(crate) fn chaos(options: &Options, stop: &AtomicBool) -> Result<ChaosRecord> {
    raise_descriptor_limit(DESCRIPTORS)?;
    let plan = plan(options)?;
    let mut record = ChaosRecord {
        date: now_utc(),
        seed: options.seed,
        threads: options.threads,
        machine: Machine::describe(),
        versions: [("commit".to_owned(), commit(&bench_dir()))].into(),
        notes: Vec::new(),
        runs: Vec::new(),
    };
    for protocol in [Protocol::Redis, Protocol::Memcached] {
        let (name, flag) = server_program(protocol);
        let program = find_program(name).with_context(|| format!("{name} is not installed"))?;
        record.versions.insert(name.to_owned(), version_of(&program, flag));
    }
    for &kind in &options.proxies {
        match Program::find(kind, &options.paths) {
            Ok(program) => {
                let version = program.version().map(|version| (kind.name().to_owned(), version));
                record.versions.extend(version);
                record.runs.push(run(&program, &plan, options, stop)?);
            }
            Err(error) => record.notes.push(format!("{} left out: {error:#}", kind.name())),
        }
        ensure!(!stop.load(Ordering::Relaxed), "stopped");
    }
    Ok(record)
}

/// Which fault meets which server, in which order: every fault once before any comes again.
fn plan(options: &Options) -> Result<Vec<(usize, usize)>> {
    let wanted = |name: &str| {
        options.only.as_ref().is_none_or(|only| only.split(',').any(|begin| name.starts_with(begin)))
    };
    let chosen: Vec<usize> = (0..FAULTS.len()).filter(|&at| wanted(FAULTS[at].name)).collect();
    ensure!(!chosen.is_empty(), "no fault is called so; there are {}", FAULTS.map(|it| it.name).join(", "));
    let mut rng = Rng::new(options.seed);
    let mut plan = Vec::new();
    while plan.len() < (options.seconds / SECONDS_PER_FAULT).max(1) as usize {
        let mut left = chosen.clone();
        while !left.is_empty() {
            let fault = left.swap_remove(rng.below(left.len() as u32) as usize);
            plan.push((fault, rng.below(SERVERS as u32) as usize));
        }
    }
    plan.truncate((options.seconds / SECONDS_PER_FAULT).max(1) as usize);
    Ok(plan)
}

fn run(program: &Program, plan: &[(usize, usize)], options: &Options, stop: &AtomicBool) -> Result<Run> {
    let proxy = program.kind.name();
    eprintln!("bench: {proxy}: starting servers and clients");
    let mut stage = Stage::set(program, options, stop).with_context(|| format!("{proxy}: the start"))?;
    let mut run = Run { proxy: proxy.to_owned(), ..Run::default() };
    (run.descriptors.0, run.rss_kib.0) = stage.proxy_use();
    for (number, &(fault, server)) in plan.iter().enumerate() {
        let fault = &FAULTS[fault];
        eprintln!("bench: {proxy}: {} of {}: {}", number + 1, plan.len(), fault.what);
        run.faults.push(stage.play(fault, server).with_context(|| format!("{proxy}: {}", fault.name))?);
        if let Err(error) = stage.check() {
            eprintln!("bench: {proxy}: {error:#}");
            run.ended = Some(format!("during {}: {error:#}", fault.name));
            break;
        }
    }
    (run.descriptors.1, run.rss_kib.1) = stage.proxy_use();
    keep_log(&stage.proxy_log(), proxy);
    Ok(run)
}

/// Copies a proxy's log to where it survives.
fn keep_log(log: &Path, proxy: &str) {
    let to = bench_dir().join("out").join(format!("chaos-{proxy}.log"));
    let copied = to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::copy(log, &to));
    match copied {
        Ok(_) => eprintln!("bench: its log is {}", to.display()),
        Err(error) => eprintln!("bench: its log is lost: {error}"),
    }
}

impl Run {
    /// Wrong replies over all faults.
    pub(crate) fn wrong(&self) -> u64 {
        self.faults.iter().flat_map(|fault| fault.pools.values()).map(|outcome| outcome.wrong).sum()
    }
}

impl ChaosRecord {
    /// Whether cashew did what a proxy must never do.
    pub(crate) fn failed(&self) -> bool {
        let cashew = self
            .runs
            .iter()
            .filter(|run| [Kind::Cashew, Kind::CashewEpoll].map(Kind::name).contains(&run.proxy.as_str()));
        cashew.into_iter().any(|run| run.ended.is_some() || run.wrong() > 0)
    }
}

/// With what a fault needs until all is well again.
const SECONDS_PER_FAULT: u32 = 5;
/// The default: every fault once.
pub(crate) const SECONDS: u32 = SECONDS_PER_FAULT * FAULTS.len() as u32;
/// Clients, forwarders with two sockets per connection, and idle clients, with room.
const DESCRIPTORS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_every_fault_once_and_follows_from_its_seed() {
        let options = |seed, seconds, only: Option<&str>| Options {
            seed,
            seconds,
            proxies: Vec::new(),
            only: only.map(str::to_owned),
            paths: Paths::default(),
            threads: 1,
            save: false,
        };
        let all = plan(&options(1, SECONDS, None)).unwrap();
        let mut faults: Vec<usize> = all.iter().map(|(fault, _)| *fault).collect();
        assert_eq!(plan(&options(1, SECONDS, None)).unwrap(), all);
        assert_ne!(plan(&options(2, SECONDS, None)).unwrap(), all);
        faults.sort_unstable();
        assert!(faults.into_iter().eq(0..FAULTS.len()));
        assert_eq!(plan(&options(1, 1, Some("kill"))).unwrap().len(), 1);
        assert!(plan(&options(1, 1, Some("earthquake"))).is_err());
    }
}
