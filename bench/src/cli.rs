//! The command line: words to options.

use crate::proxies::{KINDS, Kind, Paths};
use crate::{all, chaos, compare, document, memory, relief};
use anyhow::{Context as _, Result, bail, ensure};
use compare::Rate;
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) const USAGE: &str = "\
usage: bench compare [options]       run scenarios against every proxy in turn, print one table
       bench relief [options]        how much of a redis' work proxies take off it
       bench chaos [options]         let servers fail in many ways under each proxy, verify every reply
       bench memory [options]        how much memory proxies take when clients give them reason to
       bench all [options]           all of docs/performance.md: compare, compare --rate half, relief, document
       bench document [FILE..]       write docs/performance.md and its charts from saved results
       bench show FILE               print saved results again
       bench list                    list the sets of scenarios, and the situations of memory

  --set NAME             main, sizes, clients, pipelines, multi, latency, others (than main) or all (default: main)
  --only NAME[,NAME]     only these scenarios, or those of the set whose names begin so. Any may be asked for by a name like
                         redis-get-1k-c500-p16: {redis,mc}-{get,set,mix,connect,mgetN}, then size, clients, pipeline, idleN
  --proxies NAME[,NAME]  only these of nutcracker, cashew, cashew-epoll, haproxy, envoy, mcproxy, direct (default: all,
                         in this order)
  --rounds N             rounds per scenario and proxy (default: 3)
  --seconds S            length of a round (default: as long as four minutes in all allow, 0.3 to 3)
  --rate N               N requests per second whatever the proxy does, latency from the intended time
                         (default: each client sends as soon as it has its reply)
  --rate half            the same, with half of what the slowest sharding proxy carries in this very run
  --syscalls             count system calls as well, by perf or strace, after the rounds
  --control              let redis-benchmark measure as well, after the rounds
  --cashew PATH          this program instead of building target/release/cashew
  --beside PATH          another build of cashew, or a script that starts it otherwise: for --proxies cashew,beside
  --envoy PATH           this program instead of envoy in PATH
  --mcproxy PATH         this memcached, compiled with its proxy, instead of memcached in PATH
  --provisional          the machine does other work: results and document say so
  --save                 write the results to bench/results instead of bench/out

options of relief: --proxies (default: direct,cashew,cashew-epoll,nutcracker), --rounds (5), --seconds (1.5), --clients (1000),
  --cashew, --envoy, --provisional, --save

options of all: --set, --only (for the first part), --proxies, --rounds (default: 5), --seconds (1.2), --cashew, --envoy, --mcproxy,
  --provisional, --save: without it, the document is written to bench/out, too. Broken off and started again, it goes on

options of chaos: --only (names of faults), --proxies (default: cashew,nutcracker), --cashew, --save, and
  --seed N               order and place of the faults, and all requests (default: 1)
  --seconds S            about how long each proxy's run takes (default: as long as every fault once needs)
  --threads N            cashew's worker threads (default: 1)

options of memory: --only (names of situations), --proxies (default: cashew,nutcracker,haproxy), --cashew, --save";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Compare(compare::Options),
    Relief(relief::Options),
    Chaos(chaos::Options),
    Memory(memory::Options),
    All(all::Options),
    Document(document::Options),
    Show(String),
    List,
    Help,
}

/// What the words ask for.
///
/// # Errors
/// When they are not understood; says which.
pub(crate) fn parse(arguments: &[String]) -> Result<Action> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        Some("compare") => parse_compare(words).map(Action::Compare),
        Some("relief") => parse_relief(words).map(Action::Relief),
        Some("chaos") => parse_chaos(words).map(Action::Chaos),
        Some("memory") => parse_memory(words).map(Action::Memory),
        Some("all") => parse_all(words).map(Action::All),
        Some("document") => {
            let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
            let flag = files.iter().find(|file| file.to_string_lossy().starts_with('-'));
            flag.map_or(Ok(()), |flag| Err(unknown(&flag.to_string_lossy())))?;
            Ok(Action::Document(document::Options { files, to: None }))
        }
        Some("show") => Ok(Action::Show(words.next().context("show: which file?")?.to_owned())),
        Some("list") => Ok(Action::List),
        None | Some("help" | "-h" | "--help") => Ok(Action::Help),
        Some(other) => bail!("'{other}'?\n{USAGE}"),
    }
}

fn parse_compare<'a>(words: impl Iterator<Item = &'a str>) -> Result<compare::Options> {
    let mut options = compare::Options::default();
    each(words, |flag| {
        match flag.name {
            "--set" => options.set = Some(flag.value()?.to_owned()),
            "--only" => options.only = Some(flag.value()?.to_owned()),
            "--proxies" => options.proxies = flag.kinds()?,
            "--rounds" => options.rounds = flag.rounds()?,
            "--seconds" => options.seconds = Some(flag.seconds()?),
            "--rate" => options.rate = flag.rate()?,
            "--syscalls" => options.syscalls = true,
            "--control" => options.control = true,
            "--provisional" => options.provisional = true,
            "--save" => options.save = true,
            _ => return flag.path(&mut options.paths),
        }
        Ok(())
    })?;
    Ok(options)
}

fn parse_relief<'a>(words: impl Iterator<Item = &'a str>) -> Result<relief::Options> {
    let mut options = relief::Options::default();
    each(words, |flag| {
        match flag.name {
            "--proxies" => options.proxies = flag.kinds()?,
            "--clients" => options.clients = flag.parsed()?,
            "--rounds" => options.rounds = flag.rounds()?,
            "--seconds" => options.seconds = flag.seconds()?,
            "--provisional" => options.provisional = true,
            "--save" => options.save = true,
            _ => return flag.path(&mut options.paths),
        }
        Ok(())
    })?;
    ensure!((1..=10_000).contains(&options.clients), "--clients is from 1 to 10000");
    if let Some(kind) = options.proxies.iter().find(|kind| !kind.speaks(crate::scenario::Protocol::Redis)) {
        bail!("{} does not speak redis", kind.name());
    }
    Ok(options)
}

fn parse_all<'a>(words: impl Iterator<Item = &'a str>) -> Result<all::Options> {
    let mut options = all::Options::default();
    each(words, |flag| {
        match flag.name {
            "--set" => options.set = Some(flag.value()?.to_owned()),
            "--only" => options.only = Some(flag.value()?.to_owned()),
            "--proxies" => options.proxies = flag.kinds()?,
            "--rounds" => options.rounds = flag.rounds()?,
            "--seconds" => options.seconds = flag.seconds()?,
            "--provisional" => options.provisional = true,
            "--save" => options.save = true,
            _ => return flag.path(&mut options.paths),
        }
        Ok(())
    })?;
    Ok(options)
}

fn parse_chaos<'a>(words: impl Iterator<Item = &'a str>) -> Result<chaos::Options> {
    let mut options = chaos::Options {
        seed: 1,
        seconds: chaos::SECONDS,
        proxies: vec![Kind::Cashew, Kind::Nutcracker],
        only: None,
        paths: Paths::default(),
        threads: 1,
        save: false,
    };
    each(words, |flag| {
        match flag.name {
            "--seed" => options.seed = flag.parsed()?,
            "--seconds" => options.seconds = flag.parsed()?,
            "--threads" => options.threads = flag.parsed()?,
            "--only" => options.only = Some(flag.value()?.to_owned()),
            "--proxies" => options.proxies = flag.kinds()?,
            "--save" => options.save = true,
            _ => return flag.path(&mut options.paths),
        }
        Ok(())
    })?;
    let fit = |kind: &Kind| matches!(kind, Kind::Cashew | Kind::CashewEpoll | Kind::Nutcracker);
    if let Some(kind) = options.proxies.iter().find(|kind| !fit(kind)) {
        bail!("{} takes no part in chaos: cashew and nutcracker do", kind.name());
    }
    Ok(options)
}

fn parse_memory<'a>(words: impl Iterator<Item = &'a str>) -> Result<memory::Options> {
    let mut options = memory::Options {
        proxies: vec![Kind::Cashew, Kind::Nutcracker, Kind::Haproxy],
        only: None,
        paths: Paths::default(),
        save: false,
    };
    each(words, |flag| {
        match flag.name {
            "--only" => options.only = Some(flag.value()?.to_owned()),
            "--proxies" => options.proxies = flag.kinds()?,
            "--save" => options.save = true,
            _ => return flag.path(&mut options.paths),
        }
        Ok(())
    })?;
    if options.proxies.contains(&Kind::Direct) {
        bail!("direct is no proxy");
    }
    if options.proxies.contains(&Kind::Mcproxy) {
        bail!("mcproxy does not speak redis");
    }
    Ok(options)
}

/// A flag, and how to get its value.
struct Flag<'a, 'w> {
    name: &'a str,
    rest: &'w mut dyn Iterator<Item = &'a str>,
}

/// Takes all flags in turn.
fn each<'a>(
    mut words: impl Iterator<Item = &'a str>,
    mut take: impl FnMut(&mut Flag<'a, '_>) -> Result<()>,
) -> Result<()> {
    while let Some(name) = words.next() {
        take(&mut Flag { name, rest: &mut words })?;
    }
    Ok(())
}

impl<'a> Flag<'a, '_> {
    fn value(&mut self) -> Result<&'a str> {
        self.rest.next().with_context(|| format!("{} needs a value", self.name))
    }

    fn parsed<T: FromStr>(&mut self) -> Result<T> {
        let value = self.value()?;
        value.parse().ok().with_context(|| format!("{} cannot be '{value}'", self.name))
    }

    fn rounds(&mut self) -> Result<u32> {
        let rounds = self.parsed()?;
        ensure!(rounds > 0, "--rounds begins at 1");
        Ok(rounds)
    }

    fn seconds(&mut self) -> Result<f64> {
        let seconds = self.parsed()?;
        ensure!((0.05..=600.0).contains(&seconds), "--seconds is from 0.05 to 600");
        Ok(seconds)
    }

    fn rate(&mut self) -> Result<Rate> {
        let value = self.value()?;
        match (value, value.parse()) {
            ("half", _) => Ok(Rate::Half),
            (_, Ok(0)) => bail!("--rate begins at 1"),
            (_, Ok(rate)) => Ok(Rate::Fixed(rate)),
            _ => bail!("--rate cannot be '{value}': a number, or half"),
        }
    }

    fn kinds(&mut self) -> Result<Vec<Kind>> {
        self.value()?.split(',').map(Kind::parse).collect()
    }

    /// A flag that names a program; any other is unknown.
    fn path(&mut self, paths: &mut Paths) -> Result<()> {
        let path = match self.name {
            "--cashew" => &mut paths.cashew,
            "--beside" => &mut paths.beside,
            "--envoy" => &mut paths.envoy,
            "--mcproxy" => &mut paths.mcproxy,
            name => return Err(unknown(name)),
        };
        *path = Some(self.value()?.into());
        Ok(())
    }
}

fn unknown(flag: &str) -> anyhow::Error {
    anyhow::anyhow!("'{flag}' is unknown\n{USAGE}")
}

/// Every proxy but another build of the same, in the order of rounds.
pub(crate) fn all_kinds() -> Vec<Kind> {
    KINDS.iter().map(|(_, kind)| *kind).filter(|kind| *kind != Kind::Beside).collect()
}

#[cfg(test)]
mod tests;
