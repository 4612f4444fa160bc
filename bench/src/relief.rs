//! `bench relief`: what a proxy takes off a server. Many unpipelined clients ask one redis directly, then through proxies; what
//! counts is the processor time of the *redis process* per request. Once all share the cores, once redis has one of its own.
//!
//! The proxies have a pool of that one server here, so that redis does the same work each time.

use crate::client::Script;
use crate::data::Data;
use crate::load::raise_descriptor_limit;
use crate::machine::{Machine, commit, compiler, now_utc};
use crate::preload::preload;
use crate::process::{Process, TempDir, find_program, version_of};
use crate::proxies::{Kind, Paths, Program, server_program, start_server};
use crate::record::{ProxyRecord, Record, ScenarioRecord, bench_dir};
use crate::report::{
    busy, fixed, grouped, machine, middle, per_request_us, ratio, requests_per_second, table, versions,
};
use crate::scenario::{Protocol, Scenario, USUAL};
use crate::turn::{Contender, Turn, WARM_UP};
use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::atomic::{AtomicBool, Ordering};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// Connections.
    pub(crate) clients: usize,
    /// Rounds per arrangement and proxy.
    pub(crate) rounds: u32,
    /// Length of a round.
    pub(crate) seconds: f64,
    /// Programs to use instead of looking for them.
    pub(crate) paths: Paths,
    /// The machine does other work.
    pub(crate) provisional: bool,
    /// Keep the results among those of the project.
    pub(crate) save: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proxies: vec![Kind::Direct, Kind::Cashew, Kind::CashewEpoll, Kind::Nutcracker],
            clients: 1_000,
            rounds: 5,
            seconds: 1.5,
            paths: Paths::default(),
            provisional: false,
            save: false,
        }
    }
}

/// How the processors are shared.
const SHARED: &str = "all cores shared";
const ALONE: &str = "redis on a core of its own";
/// The set's name, by which saved results are known.
const SET: &str = "relief";

/// Runs all of it; `stop` ends it early.
///
/// # Errors
/// When redis cannot be started, no proxy can, or `stop` is set.
pub(crate) fn relief(options: &Options, stop: &AtomicBool) -> Result<Record> {
    let scenario = Scenario { clients: options.clients, ..USUAL };
    raise_descriptor_limit(options.clients as u64 + SPARE_DESCRIPTORS)?;
    let mut record = Record {
        date: now_utc(),
        set: if options.provisional { format!("{SET}-provisional") } else { SET.to_owned() },
        machine: Machine::describe(),
        versions: [("rustc".to_owned(), compiler()), ("commit".to_owned(), commit(&bench_dir()))].into(),
        rounds: options.rounds,
        seconds: options.seconds,
        warm_up_seconds: WARM_UP.as_secs_f64(),
        rate: None,
        half: false,
        provisional: options.provisional,
        notes: Vec::new(),
        scenarios: Vec::new(),
    };
    let dir = TempDir::new()?;
    let (name, flag) = server_program(Protocol::Redis);
    let version = find_program(name).map(|program| version_of(&program, flag));
    record.versions.extend(version.map(|version| (name.to_owned(), version)));
    let server = [start_server(Protocol::Redis, 1, &dir.0, stop)?];
    let mut contenders = Vec::new();
    for &kind in &options.proxies {
        let started = Program::find(kind, &options.paths).and_then(|program| {
            let process = program.start(Protocol::Redis, &server, &dir.0, stop)?;
            record.versions.extend(program.version().map(|version| (kind.name().to_owned(), version)));
            let target = process.as_ref().map_or(server[0].address, |process| process.address);
            Ok(Contender { kind, target, process })
        });
        match started {
            Ok(contender) => contenders.push(contender),
            Err(error) => record.notes.push(format!("{} left out: {error:#}", kind.name())),
        }
    }
    ensure!(!contenders.is_empty(), "nothing to compare: {}", record.notes.join("; "));

    let data = Data::new(scenario.keys, scenario.value_bytes);
    preload(server[0].address, Protocol::Redis, &data).context("storing the keys")?;
    let turn = Turn {
        script: Script { scenario: &scenario, data: &data },
        number: 0,
        seconds: options.seconds,
        rate: None,
        stop,
    };
    record.scenarios.push(rounds(&turn, options, SHARED, &mut contenders, &server)?);
    let cores = cores()?;
    match cores.split_first() {
        Some((first, others)) if !others.is_empty() => {
            let everyone_else = contenders.iter().filter_map(|it| it.process.as_ref()).map(Process::pid);
            for pid in everyone_else.chain([std::process::id()]) {
                pin(pid, others)?;
            }
            pin(server[0].pid(), &[*first])?;
            let measured = rounds(&turn, options, ALONE, &mut contenders, &server);
            pin(std::process::id(), &cores)?;
            record.scenarios.push(measured?);
        }
        _ => record.notes.push("redis cannot have a core of its own: there is only one".to_owned()),
    }
    Ok(record)
}

/// All rounds of one arrangement, interleaved.
fn rounds(
    turn: &Turn<'_>,
    options: &Options,
    arrangement: &str,
    contenders: &mut [Contender],
    server: &[Process],
) -> Result<ScenarioRecord> {
    let mut results: Vec<ProxyRecord> =
        contenders.iter().map(|contender| ProxyRecord::new(contender.kind.name())).collect();
    for number in 1..=options.rounds {
        eprintln!("bench: relief, {arrangement}, round {number} of {}", options.rounds);
        for (contender, result) in contenders.iter_mut().zip(&mut results) {
            if result.failure.is_some() {
                continue;
            }
            let round = Turn { number, ..*turn }.run(contender, server);
            ensure!(!turn.stop.load(Ordering::Relaxed), "stopped");
            match round {
                Ok(round) => result.rounds.push(round),
                Err(error) => result.failure = Some(format!("{error:#}")),
            }
        }
    }
    let what = turn.script.scenario.describe();
    Ok(ScenarioRecord { name: arrangement.to_owned(), what, rate: None, proxies: results })
}

/// The processors this process may run on.
fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("asking for the processors")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Lets all threads of a process run on these processors only.
fn pin(pid: u32, cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
        let name = task?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        match sched_setaffinity(thread, &set) {
            // It ended while we looked.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("pinning process {pid}")),
        }
    }
    Ok(())
}

/// Whether a saved record is one of this command.
pub(crate) fn is_relief(record: &Record) -> bool {
    record.set.starts_with(SET)
}

/// The report.
pub(crate) fn render(record: &Record) -> String {
    let mut text = format!(
        "{}; {}; {} rounds of {:.2} s\n{}\n",
        record.date,
        machine(record),
        record.rounds,
        record.seconds,
        versions(record)
    );
    text.extend(record.scenarios.first().map(|scenario| format!("{}, one redis\n\n", scenario.what)));
    text.push_str(&table(&rows(record)));
    let failures = record.scenarios.iter().flat_map(|scenario| {
        let failed = scenario.proxies.iter().filter_map(|proxy| Some((proxy, proxy.failure.as_ref()?)));
        failed.map(|(proxy, why)| format!("FAILED: {}, {}: {why}", scenario.name, proxy.proxy))
    });
    text.extend(failures.chain(record.notes.iter().cloned()).map(|note| format!("- {note}\n")));
    text
}

/// The table with its titles.
pub(crate) fn rows(record: &Record) -> Vec<Vec<String>> {
    let titles = [
        "cores",
        "way",
        "redis us/req",
        "of direct",
        "redis busy",
        "req/s",
        "redis could carry req/s",
        "p99 us",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for scenario in &record.scenarios {
        let direct = scenario.proxies.iter().find(|proxy| proxy.proxy == Kind::Direct.name());
        for proxy in &scenario.proxies {
            let cost = middle(proxy, server_us);
            let part = direct.filter(|direct| direct.proxy != proxy.proxy);
            let part = fixed(part.and_then(|direct| ratio(proxy, direct, server_us)), 2);
            let used = middle(proxy, |it| Some(busy(it, it.servers_cpu.total_ns) * 100.0));
            let p99 = middle(proxy, |it| Some(it.latency.p99_ns as f64 / 1e3));
            let whole = |figure: Option<f64>| figure.map(|it| grouped(it as u64));
            let cells = [
                fixed(cost, 2),
                part,
                used.map(|used| format!("{used:.0}%")),
                whole(requests_per_second(proxy)),
                whole(cost.filter(|cost| *cost > 0.0).map(|cost| 1e6 / cost)),
                whole(p99),
            ];
            let names = [scenario.name.clone(), proxy.proxy.clone()];
            rows.push(names.into_iter().chain(cells.map(|cell| cell.unwrap_or("-".to_owned()))).collect());
        }
    }
    rows
}

/// Processor time of redis per request.
pub(crate) fn server_us(round: &crate::record::Round) -> Option<f64> {
    per_request_us(round, round.servers_cpu.total_ns)
}

/// Standard streams, epoll, timer, pipes.
const SPARE_DESCRIPTORS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn the_table() {
        let mut record = sample();
        record.set = SET.to_owned();
        record.scenarios[0].name = ALONE.to_owned();
        let proxies = &mut record.scenarios[0].proxies;
        proxies.retain(|proxy| proxy.failure.is_none());
        // Through cashew the server needs half of the 4 us per request.
        proxies[1].rounds.iter_mut().for_each(|round| round.servers_cpu.total_ns /= 2);
        assert!(is_relief(&record));
        let rows = rows(&record);
        let row = |name: &str| rows.iter().find(|row| row[1] == name).unwrap()[2..].to_vec();
        assert_eq!(row("cashew"), ["2.00", "0.50", "10%", "50,000", "500,000", "900"]);
        assert_eq!(row("direct"), ["4.00", "-", "60%", "150,000", "250,000", "900"]);
        assert!(render(&record).contains("redis on a core of its own"));
    }

    #[test]
    fn a_process_is_pinned_with_all_its_threads() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let last = *cores().unwrap().last().unwrap();
        pin(child.id(), &[last]).unwrap();
        let set = sched_getaffinity(Some(Pid::from_child(&child))).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(set.is_set(last) && set.count() == 1);
        assert!(pin(u32::MAX >> 1, &[last]).is_err());
    }
}
