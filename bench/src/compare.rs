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
use crate::control;
use crate::data::Data;
use crate::load::raise_descriptor_limit;
use crate::machine::{Machine, commit, compiler, now_utc};
use crate::preload::preload;
use crate::process::{Process, TempDir, find_program, version_of};
use crate::proxies::{Kind, Paths, Program, server_program, start_servers};
use crate::record::{ProxyRecord, Record, ScenarioRecord, bench_dir, set_name};
use crate::report::requests_per_second;
use crate::scenario::{Protocol, Scenario, select};
use crate::syscalls;
use crate::turn::{Contender, Turn, WARM_UP};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// Rounds per scenario and proxy.
    pub(crate) rounds: u32,
    /// Length of a round; without it the comparison is made to end in time.
    pub(crate) seconds: Option<f64>,
    /// A set of scenarios.
    pub(crate) set: Option<String>,
    /// Names or beginnings of names, separated by commas.
    pub(crate) only: Option<String>,
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// Programs to use instead of looking for them.
    pub(crate) paths: Paths,
    /// How requests start.
    pub(crate) rate: Rate,
    /// Count system calls after the rounds.
    pub(crate) syscalls: bool,
    /// Let another load generator measure after the rounds.
    pub(crate) control: bool,
    /// The machine does other work.
    pub(crate) provisional: bool,
    /// Keep the results among those of the project.
    pub(crate) save: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 3,
            seconds: None,
            set: None,
            only: None,
            proxies: crate::cli::all_kinds(),
            paths: Paths::default(),
            rate: Rate::Closed,
            syscalls: false,
            control: false,
            provisional: false,
            save: false,
        }
    }
}

/// How requests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// As soon as the client has its reply.
    Closed,
    /// So many a second.
    Fixed(u64),
    /// So many that the slowest sharding proxy has half of what it can carry.
    Half,
}

/// Runs a comparison; `stop` ends it early. With `unfinished`, a file, every scenario that is done is kept there, and those it
/// has from an earlier run of the same are not run again.
///
/// # Errors
/// When a server cannot be started, no proxy can, or `stop` is set.
pub(crate) fn compare(options: &Options, unfinished: Option<&Path>, stop: &AtomicBool) -> Result<Record> {
    let scenarios = select(options.set.as_deref(), options.only.as_deref())?;
    let most = raise_descriptor_limit(SPARE_DESCRIPTORS)?;
    let mut record = Record {
        date: now_utc(),
        set: set_of(options),
        machine: Machine::describe(),
        versions: [("rustc".to_owned(), compiler()), ("commit".to_owned(), commit(&bench_dir()))].into(),
        rounds: options.rounds,
        seconds: 0.0,
        warm_up_seconds: WARM_UP.as_secs_f64(),
        rate: if let Rate::Fixed(rate) = options.rate { Some(rate) } else { None },
        half: options.rate == Rate::Half,
        provisional: options.provisional,
        notes: Vec::new(),
        scenarios: Vec::new(),
    };
    let mut programs = find_programs(options, &mut record);
    ensure!(!stop.load(Ordering::Relaxed), "stopped");
    ensure!(!programs.is_empty(), "nothing to compare: {}", record.notes.join("; "));
    let turns = scenarios.len() * programs.len() * options.rounds as usize;
    record.seconds = options.seconds.unwrap_or_else(|| usual_seconds(turns));
    if let Some(earlier) =
        unfinished.and_then(|path| Record::load(path).ok()).filter(|it| record.continues(it))
    {
        eprintln!("bench: goes on after {} scenarios of {}", earlier.scenarios.len(), earlier.date);
        record = earlier;
    }

    for protocol in [Protocol::Redis, Protocol::Memcached] {
        let done = |row: &&Scenario| record.scenarios.iter().any(|it| it.name == row.name());
        let rows = scenarios.iter().filter(|row| row.protocol == protocol);
        let rows: Vec<&Scenario> = rows.filter(|row| !done(row)).collect();
        if rows.is_empty() {
            continue;
        }
        let bench = Bench::start(protocol, &mut record, stop)?;
        for row in rows {
            let needs = row.connections() as u64 + SPARE_DESCRIPTORS;
            if needs > most {
                note(
                    &mut record,
                    format!("{} left out: it needs {needs} descriptors (ulimit -Hn: {most})", row.name()),
                );
                continue;
            }
            let contenders = bench.contenders(row, &mut programs, &mut record)?;
            let result = bench.scenario(row, contenders, options, &mut record)?;
            record.scenarios.push(result);
            if let Some(path) = unfinished {
                record.save_as(path)?;
            }
        }
    }
    Ok(record)
}

/// The words for the scenarios and their pace in the names of files.
fn set_of(options: &Options) -> String {
    let named = options.only.as_deref().or(options.set.as_deref()).map_or("main".to_owned(), set_name);
    let pace = match options.rate {
        Rate::Closed => String::new(),
        Rate::Fixed(rate) => format!("-at-{rate}"),
        Rate::Half => "-half".to_owned(),
    };
    named + &pace + if options.provisional { "-provisional" } else { "" }
}

/// The programs that can be had, with their versions; what cannot is noted.
fn find_programs(options: &Options, record: &mut Record) -> Vec<Program> {
    let found = Program::find_all(&options.proxies, &options.paths);
    record.versions.extend(found.versions);
    found.missing.into_iter().for_each(|text| note(record, text));
    record.notes.extend(found.programs.iter().filter_map(|program| program.kind.note()).map(str::to_owned));
    found.programs
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
            if !kind.speaks(scenario.protocol) {
                return true;
            }
            if let Some(why) = program.cannot(scenario) {
                note(record, why);
                return true;
            }
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

    /// All rounds of a scenario, and what is measured beside them.
    fn scenario(
        &self,
        scenario: &Scenario,
        contenders: Vec<Contender>,
        options: &Options,
        record: &mut Record,
    ) -> Result<ScenarioRecord> {
        let data = Data::new(scenario.keys, scenario.value_bytes);
        let script = Script { scenario, data: &data };
        let mut entries: Vec<(Contender, ProxyRecord)> = Vec::new();
        for contender in contenders {
            let mut result = ProxyRecord::new(contender.kind.name());
            result.failure =
                preload(contender.target, scenario.protocol, &data).err().map(|error| format!("{error:#}"));
            entries.push((contender, result));
        }
        let turn = Turn { script, number: 0, seconds: record.seconds, rate: None, stop: self.stop };
        let rate = match options.rate {
            Rate::Closed => None,
            Rate::Fixed(rate) => Some(rate),
            Rate::Half => Some(self.half(&turn, &mut entries)?),
        };
        for number in 1..=options.rounds {
            eprintln!("bench: {}, round {number} of {}", scenario.describe(), options.rounds);
            self.each(&mut entries, |contender, result| {
                let turn = Turn { number, rate, ..turn };
                result.rounds.push(turn.run(contender, &self.servers)?);
                Ok(())
            })?;
        }
        let name = scenario.name();
        if options.syscalls {
            eprintln!("bench: {name}, counting system calls");
            let mut missing = None;
            self.each(&mut entries, |contender, result| {
                let counted = syscalls::count(&turn, contender, &self.dir.0);
                // It says nothing of the proxy, unless it ended.
                result.syscalls =
                    counted.map_err(|error| missing = Some(format!("{error:#}"))).ok().flatten();
                contender.process.as_mut().map_or(Ok(()), Process::check_alive)
            })?;
            if let Some(why) = missing {
                note(record, format!("system calls are not counted: {why}"));
            }
        }
        if options.control && rate.is_none() && control::can(scenario) {
            eprintln!("bench: {name}, control by {}", control::TOOL);
            self.each(&mut entries, |contender, result| {
                let usual = requests_per_second(result).unwrap_or(0.0);
                let control = control::run(scenario, contender, usual, self.stop);
                // It says something of the figures and nothing of the proxy.
                result.control = control.map_err(|error| eprintln!("bench: {name}, control: {error:#}")).ok();
                Ok(())
            })?;
        }
        let proxies = entries.into_iter().map(|(_, result)| result).collect();
        Ok(ScenarioRecord { name, what: scenario.describe(), rate, proxies })
    }

    /// Half of what the slowest sharding proxy carries, in requests per second; of any, where none shards.
    fn half(&self, turn: &Turn<'_>, entries: &mut [(Contender, ProxyRecord)]) -> Result<u64> {
        eprintln!("bench: {}, looking for the rate", turn.script.scenario.describe());
        for number in 1..=SATURATION_ROUNDS {
            self.each(entries, |contender, result| {
                let seconds = turn.seconds.min(SATURATION_SECONDS);
                let round = Turn { number, seconds, ..*turn }.run(contender, &self.servers)?;
                let rate = round.requests as f64 / round.seconds.max(1e-9);
                result.saturation = Some(result.saturation.map_or(rate, |earlier| earlier.max(rate)));
                Ok(())
            })?;
        }
        Ok((slowest(entries) / 2.0).max(1.0) as u64)
    }

    /// Lets each of those that have not failed yet do something; a failure is theirs alone.
    fn each(
        &self,
        entries: &mut [(Contender, ProxyRecord)],
        mut act: impl FnMut(&mut Contender, &mut ProxyRecord) -> Result<()>,
    ) -> Result<()> {
        for (contender, result) in entries.iter_mut().filter(|(_, result)| result.failure.is_none()) {
            let done = act(contender, result);
            ensure!(!self.stop.load(Ordering::Relaxed), "stopped");
            if let Err(error) = done {
                eprintln!("bench: {}: {error:#}", result.proxy);
                result.failure = Some(format!("{error:#}"));
            }
        }
        Ok(())
    }
}

/// The lowest saturation of those that shard; of any, where none does. 0 where none was measured.
fn slowest(entries: &[(Contender, ProxyRecord)]) -> f64 {
    let of = |sharding: bool| {
        let counted = entries.iter().filter(|(contender, _)| !sharding || contender.kind.shards());
        counted.filter_map(|(_, result)| result.saturation).reduce(f64::min)
    };
    of(true).or_else(|| of(false)).unwrap_or(0.0)
}

/// What a turn takes besides: connecting, its share of storing keys, looking at /proc.
const TURN_OVERHEAD: Duration = Duration::from_millis(100);
/// Saturation decides a rate, so it need not be as exact as what is measured at it.
const SATURATION_ROUNDS: u32 = 2;
const SATURATION_SECONDS: f64 = 0.8;
/// For all turns together.
const TIME_BUDGET: Duration = Duration::from_secs(200);
/// Standard streams, epoll, timer, pipes.
const SPARE_DESCRIPTORS: u64 = 64;

#[cfg(test)]
mod tests;
