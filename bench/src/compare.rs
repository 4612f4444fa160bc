//! The order of a comparison. For each protocol: servers up; for each scenario: proxies up, keys stored, then
//! rounds in turn,
//!
//! ```text
//!   round 1: nutcracker, cashew, haproxy, direct     round 2: nutcracker, cashew, haproxy, direct     ...
//! ```
//!
//! so that whatever else the machine does meets all of them alike. A proxy that fails a scenario is reported
//! and left out of it; the others go on.

use crate::client::Script;
use crate::data::Data;
use crate::load::raise_descriptor_limit;
use crate::machine::{Machine, commit, compiler, now_utc};
use crate::preload::preload;
use crate::process::{Process, TempDir, find_program, version_of};
use crate::proxies::{Kind, NOTES, Program, server_program, start_servers};
use crate::record::{ProxyRecord, Record, ScenarioRecord, bench_dir, set_name};
use crate::scenario::{Protocol, Scenario, select};
use crate::turn::{Contender, Turn, WARM_UP};
use anyhow::{Context as _, Result, ensure};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Rounds per scenario and proxy.
    pub(crate) rounds: u32,
    /// Length of a round; without it the comparison is made to end in time.
    pub(crate) seconds: Option<f64>,
    /// Names or beginnings of names, separated by commas.
    pub(crate) only: Option<String>,
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// A program to use instead of building it.
    pub(crate) cashew: Option<PathBuf>,
    /// Requests per second of an open loop.
    pub(crate) rate: Option<u64>,
    /// Keep the results among those of the project.
    pub(crate) save: bool,
}

/// Runs a comparison; `stop` ends it early.
///
/// # Errors
/// When a server cannot be started, no proxy can, or `stop` is set.
pub(crate) fn compare(options: &Options, stop: &AtomicBool) -> Result<Record> {
    let scenarios = select(options.only.as_deref())?;
    let clients = scenarios.iter().map(|row| row.clients).max().unwrap_or(0);
    raise_descriptor_limit(clients as u64 + SPARE_DESCRIPTORS)?;
    let mut record = Record {
        date: now_utc(),
        set: set_name(options.only.as_deref()),
        machine: Machine::describe(),
        versions: [("rustc".to_owned(), compiler()), ("commit".to_owned(), commit(&bench_dir()))].into(),
        rounds: options.rounds,
        seconds: 0.0,
        warm_up_seconds: WARM_UP.as_secs_f64(),
        rate: options.rate,
        notes: Vec::new(),
        scenarios: Vec::new(),
    };
    let mut programs = find_programs(options, &mut record);
    ensure!(!stop.load(Ordering::Relaxed), "stopped");
    ensure!(!programs.is_empty(), "nothing to compare: {}", record.notes.join("; "));
    let turns = scenarios.len() * programs.len() * options.rounds as usize;
    record.seconds = options.seconds.unwrap_or_else(|| usual_seconds(turns));

    for protocol in [Protocol::Redis, Protocol::Memcached] {
        let rows: Vec<&Scenario> = scenarios.iter().filter(|row| row.protocol == protocol).collect();
        if rows.is_empty() {
            continue;
        }
        let bench = Bench::start(protocol, &mut record, stop)?;
        for row in rows {
            let contenders = bench.contenders(row, &mut programs, &mut record)?;
            let result = bench.scenario(row, contenders, options, record.seconds)?;
            record.scenarios.push(result);
        }
    }
    Ok(record)
}

/// The programs that can be had, with their versions; what cannot is noted.
fn find_programs(options: &Options, record: &mut Record) -> Vec<Program> {
    let mut programs = Vec::new();
    for &kind in &options.proxies {
        match Program::find(kind, options.cashew.as_deref()) {
            Ok(program) => {
                record.versions.extend(program.version().map(|version| (kind.name().to_owned(), version)));
                programs.push(program);
            }
            Err(error) => note(record, format!("{} left out: {error:#}", kind.name())),
        }
    }
    let explained = [Kind::Haproxy, Kind::Direct].into_iter().zip(NOTES);
    let shown = explained.filter(|(kind, _)| programs.iter().any(|program| program.kind == *kind));
    record.notes.extend(shown.map(|(_, note)| note.to_owned()));
    programs
}

fn note(record: &mut Record, text: String) {
    eprintln!("bench: {text}");
    if !record.notes.contains(&text) {
        record.notes.push(text);
    }
}

/// A round's length with which the whole comparison stays below four minutes.
fn usual_seconds(turns: usize) -> f64 {
    let each = TIME_BUDGET.as_secs_f64() / turns.max(1) as f64;
    (each - WARM_UP.as_secs_f64() - TURN_OVERHEAD.as_secs_f64()).clamp(0.3, 3.0)
}

/// One protocol's servers.
struct Bench<'a> {
    servers: Vec<Process>,
    stop: &'a AtomicBool,
    dir: TempDir,
}

impl<'a> Bench<'a> {
    fn start(protocol: Protocol, record: &mut Record, stop: &'a AtomicBool) -> Result<Self> {
        let dir = TempDir::new()?;
        let (name, flag) = server_program(protocol);
        let version = find_program(name).map(|program| version_of(&program, flag));
        record.versions.extend(version.map(|version| (name.to_owned(), version)));
        Ok(Self { servers: start_servers(protocol, &dir.0, stop)?, stop, dir })
    }

    /// Starts the proxies anew for a scenario, so that each begins without the memory, or the death, of the one
    /// before. A program that does not start is noted and not tried again.
    fn contenders(
        &self,
        scenario: &Scenario,
        programs: &mut Vec<Program>,
        record: &mut Record,
    ) -> Result<Vec<Contender>> {
        let first = self.servers.first().context("no servers")?.address;
        let mut contenders = Vec::new();
        programs.retain(|program| {
            let kind = program.kind;
            match program.start(scenario.protocol, &self.servers, &self.dir.0, self.stop) {
                Ok(process) => {
                    let target = process.as_ref().map_or(first, |process| process.address);
                    contenders.push(Contender { kind, target, process });
                    true
                }
                Err(error) => {
                    note(record, format!("{} left out, it does not run: {error:#}", kind.name()));
                    false
                }
            }
        });
        ensure!(!self.stop.load(Ordering::Relaxed), "stopped");
        ensure!(!contenders.is_empty(), "nothing to compare runs");
        Ok(contenders)
    }

    /// All rounds of a scenario.
    fn scenario(
        &self,
        scenario: &Scenario,
        mut contenders: Vec<Contender>,
        options: &Options,
        seconds: f64,
    ) -> Result<ScenarioRecord> {
        let data = Data::new(scenario.keys, scenario.value_bytes);
        let mut results: Vec<ProxyRecord> = Vec::new();
        for contender in &contenders {
            let stored = preload(contender.target, scenario.protocol, &data);
            let failure = stored.err().map(|error| format!("{error:#}"));
            let proxy = contender.kind.name().to_owned();
            results.push(ProxyRecord { proxy, failure, rounds: Vec::new() });
        }
        for number in 1..=options.rounds {
            eprintln!("bench: {}, round {number} of {}", scenario.describe(), options.rounds);
            for (contender, result) in contenders.iter_mut().zip(&mut results) {
                if result.failure.is_some() {
                    continue;
                }
                let script = Script { scenario, data: &data };
                let turn = Turn { script, number, seconds, rate: options.rate, stop: self.stop };
                let round = turn.run(contender, &self.servers);
                ensure!(!self.stop.load(Ordering::Relaxed), "stopped");
                match round {
                    Ok(round) => result.rounds.push(round),
                    Err(error) => {
                        eprintln!("bench: {}, {}: {error:#}", scenario.name, result.proxy);
                        result.failure = Some(format!("{error:#}"));
                    }
                }
            }
        }
        Ok(ScenarioRecord { name: scenario.name.to_owned(), what: scenario.describe(), proxies: results })
    }
}

/// What a turn takes besides: connecting, its share of storing keys, looking at /proc.
const TURN_OVERHEAD: Duration = Duration::from_millis(100);
/// For all turns together.
const TIME_BUDGET: Duration = Duration::from_secs(200);
/// Standard streams, epoll, timer, pipes.
const SPARE_DESCRIPTORS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    #[test]
    fn a_comparison_ends_in_time() {
        let check = |turns: usize| {
            let turn = usual_seconds(turns) + WARM_UP.as_secs_f64() + TURN_OVERHEAD.as_secs_f64();
            turn * turns as f64
        };
        let usual = SCENARIOS.len() * crate::proxies::KINDS.len() * crate::ROUNDS as usize;
        assert!(check(usual) < 220.0, "{}", check(usual));
        assert!(check(4) < 15.0);
    }
}
