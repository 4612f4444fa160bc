//! Compares cashew with its peers on this machine: `cargo run --release -p bench -- compare`. README.md says how
//! to read what it prints.
//!
//! ```text
//!   compare ──→ proxies ──→ process                          starts and stops servers and proxies
//!      ├──────→ preload ──────────────→ protocol ──→ data      what goes over the wire
//!      ├──────→ turn ──→ load ──→ client ───↑
//!      │          │        └────→ pace                         when requests start
//!      │          └────→ measure                               what it cost
//!      └──────→ machine, record ──→ report                     where; raw figures; the table
//! ```
//! Beside it are `chaos`, in which the same servers fail in many ways while every reply is verified, and `memory`, in which
//! clients give proxies reason to take much of it.

mod chaos;
mod client;
mod compare;
mod data;
mod load;
mod machine;
mod measure;
mod memory;
mod pace;
mod preload;
mod process;
mod protocol;
mod proxies;
mod record;
mod report;
mod scenario;
mod turn;

use anyhow::{Context as _, Result, bail};
use compare::Options;
use proxies::{KINDS, Kind};
use record::{Record, bench_dir};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const USAGE: &str = "\
usage: bench compare [options]    run scenarios against every proxy in turn, print one table
       bench chaos [options]      let servers fail in many ways under each proxy, verify every reply
       bench memory [options]     how much memory proxies take when clients give them reason to
       bench show FILE            print saved results again
       bench list                 list the scenarios, and the situations of memory

  --only NAME[,NAME]     only these scenarios, or those whose names begin so
  --proxies NAME[,NAME]  only these of nutcracker, cashew, haproxy, direct (default: all, in this order)
  --rounds N             rounds per scenario and proxy (default: 3)
  --seconds S            length of a round (default: as long as four minutes in all allow, 0.3 to 3)
  --rate N               N requests per second whatever the proxy does, latency from the intended time
                         (default: each client sends as soon as it has its reply)
  --cashew PATH          this program instead of building target/release/cashew
  --save                 write the results to bench/results instead of bench/out

options of chaos: --only (names of faults), --proxies (default: cashew,nutcracker), --cashew, --save, and
  --seed N               order and place of the faults, and all requests (default: 1)
  --seconds S            about how long each proxy's run takes (default: as long as every fault once needs)
  --threads N            cashew's worker threads (default: 1)

options of memory: --only (names of situations), --proxies (default: cashew,nutcracker,haproxy), --cashew, --save";

/// What to do.
#[derive(Debug, PartialEq)]
enum Action {
    Compare(Options),
    Chaos(chaos::Options),
    Memory(memory::Options),
    Show(String),
    List,
    Help,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Help => println!("{USAGE}"),
        Action::List => {
            scenario::SCENARIOS.iter().for_each(|row| println!("{:18} {}", row.name, row.describe()));
            memory::SITUATIONS.iter().for_each(|row| println!("{:18} memory: {}", row.name, row.what));
        }
        Action::Show(file) => print!("{}", show(file.as_ref())?),
        Action::Compare(options) => return run_compare(&options),
        Action::Chaos(options) => return run_chaos(&options),
        Action::Memory(options) => return run_memory(&options),
    }
    Ok(ExitCode::SUCCESS)
}

/// Saved results, of whichever kind they are.
fn show(file: &std::path::Path) -> Result<String> {
    Record::load(file).map(|record| report::render(&record)).or_else(|error| {
        let text = std::fs::read_to_string(file)?;
        let chaos = serde_json::from_str(&text).map(|record| chaos::render(&record));
        chaos
            .or_else(|_| serde_json::from_str(&text).map(|record| memory::render(&record)))
            .map_err(|_| error)
    })
}

/// A flag that Ctrl-C and its like set.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Fails when cashew gave a wrong reply, or did not live to the end.
fn run_chaos(options: &chaos::Options) -> Result<ExitCode> {
    let record = chaos::chaos(options, &*stop_flag()?)?;
    print!("{}", chaos::render(&record));
    let dir = bench_dir().join(if options.save { "results" } else { "out" });
    println!("\nsaved as {}", record::save(&record, &dir, &record.date, "chaos")?.display());
    Ok(if record.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fails when cashew did not come to the end of a situation, or a client beside it read a wrong reply.
fn run_memory(options: &memory::Options) -> Result<ExitCode> {
    let record = memory::memory(options, &*stop_flag()?)?;
    print!("{}", memory::render(&record));
    let dir = bench_dir().join(if options.save { "results" } else { "out" });
    println!("\nsaved as {}", record::save(&record, &dir, &record.date, "memory")?.display());
    Ok(if record.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fails when a proxy failed a scenario, so that a script notices.
fn run_compare(options: &Options) -> Result<ExitCode> {
    let stop = stop_flag()?;
    let record = compare::compare(options, &stop)?;
    print!("{}", report::render(&record));
    let path = record.save(&bench_dir().join(if options.save { "results" } else { "out" }))?;
    println!("\nsaved as {}", path.display());
    let failed = record.scenarios.iter().flat_map(|it| &it.proxies).any(|proxy| proxy.failure.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse(arguments: &[String]) -> Result<Action> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        Some("compare") => parse_compare(words).map(Action::Compare),
        Some("chaos") => parse_chaos(words).map(Action::Chaos),
        Some("memory") => parse_memory(words).map(Action::Memory),
        Some("show") => Ok(Action::Show(words.next().context("show: which file?")?.to_owned())),
        Some("list") => Ok(Action::List),
        None | Some("help" | "-h" | "--help") => Ok(Action::Help),
        Some(other) => bail!("'{other}'?\n{USAGE}"),
    }
}

fn parse_compare<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Options> {
    let mut options = Options {
        rounds: ROUNDS,
        seconds: None,
        only: None,
        proxies: KINDS.map(|(_, kind)| kind).into(),
        cashew: None,
        rate: None,
        save: false,
    };
    while let Some(flag) = words.next() {
        if flag == "--save" {
            options.save = true;
            continue;
        }
        let value = words.next().with_context(|| format!("'{flag}' is unknown or needs a value\n{USAGE}"))?;
        let wrong = || format!("{flag} cannot be '{value}'");
        match flag {
            "--rounds" => options.rounds = value.parse().with_context(wrong)?,
            "--seconds" => options.seconds = Some(value.parse().with_context(wrong)?),
            "--only" => options.only = Some(value.to_owned()),
            "--proxies" => options.proxies = value.split(',').map(Kind::parse).collect::<Result<_>>()?,
            "--cashew" => options.cashew = Some(value.into()),
            "--rate" => options.rate = Some(value.parse().with_context(wrong)?),
            _ => bail!("'{flag}' is unknown\n{USAGE}"),
        }
    }
    if options.rounds == 0 || options.rate == Some(0) {
        bail!("--rounds and --rate begin at 1");
    }
    if options.seconds.is_some_and(|seconds| !(0.05..=600.0).contains(&seconds)) {
        bail!("--seconds is from 0.05 to 600");
    }
    Ok(options)
}

fn parse_chaos<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<chaos::Options> {
    let mut options = chaos::Options {
        seed: 1,
        seconds: chaos::SECONDS,
        proxies: vec![Kind::Cashew, Kind::Nutcracker],
        only: None,
        cashew: None,
        threads: 1,
        save: false,
    };
    while let Some(flag) = words.next() {
        if flag == "--save" {
            options.save = true;
            continue;
        }
        let value = words.next().with_context(|| format!("'{flag}' is unknown or needs a value\n{USAGE}"))?;
        let wrong = || format!("{flag} cannot be '{value}'");
        match flag {
            "--seed" => options.seed = value.parse().with_context(wrong)?,
            "--seconds" => options.seconds = value.parse().with_context(wrong)?,
            "--threads" => options.threads = value.parse().with_context(wrong)?,
            "--only" => options.only = Some(value.to_owned()),
            "--proxies" => options.proxies = value.split(',').map(Kind::parse).collect::<Result<_>>()?,
            "--cashew" => options.cashew = Some(value.into()),
            _ => bail!("'{flag}' is unknown\n{USAGE}"),
        }
    }
    if let Some(kind) = options.proxies.iter().find(|kind| matches!(kind, Kind::Direct | Kind::Haproxy)) {
        bail!("{} does not shard", kind.name());
    }
    Ok(options)
}

fn parse_memory<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<memory::Options> {
    let mut options = memory::Options {
        proxies: vec![Kind::Cashew, Kind::Nutcracker, Kind::Haproxy],
        only: None,
        cashew: None,
        save: false,
    };
    while let Some(flag) = words.next() {
        if flag == "--save" {
            options.save = true;
            continue;
        }
        let value = words.next().with_context(|| format!("'{flag}' is unknown or needs a value\n{USAGE}"))?;
        match flag {
            "--only" => options.only = Some(value.to_owned()),
            "--proxies" => options.proxies = value.split(',').map(Kind::parse).collect::<Result<_>>()?,
            "--cashew" => options.cashew = Some(value.into()),
            _ => bail!("'{flag}' is unknown\n{USAGE}"),
        }
    }
    if options.proxies.contains(&Kind::Direct) {
        bail!("direct is no proxy");
    }
    Ok(options)
}

/// Enough for a median.
const ROUNDS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn arguments() {
        let Action::Compare(options) = parse(&words("compare")).unwrap() else { panic!("not a comparison") };
        assert_eq!((options.rounds, options.rate, options.save), (3, None, false));
        let line = "compare --only redis --proxies direct,cashew --rounds 5 --seconds 0.5 --rate 9 --save --cashew p";
        let expected = Options {
            rounds: 5,
            seconds: Some(0.5),
            only: Some("redis".to_owned()),
            proxies: vec![Kind::Direct, Kind::Cashew],
            cashew: Some("p".into()),
            rate: Some(9),
            save: true,
        };
        assert_eq!(parse(&words(line)).unwrap(), Action::Compare(expected));
        let Action::Chaos(options) =
            parse(&words("chaos --seed 9 --proxies cashew --only kill --threads 2")).unwrap()
        else {
            panic!("no chaos")
        };
        assert_eq!((options.seed, options.proxies, options.threads), (9, vec![Kind::Cashew], 2));
        assert_eq!(options.only.as_deref(), Some("kill"));
        let Action::Memory(options) = parse(&words("memory --only idle --proxies haproxy --save")).unwrap()
        else {
            panic!("not about memory")
        };
        assert_eq!((options.only.as_deref(), options.proxies), (Some("idle"), vec![Kind::Haproxy]));
        assert_eq!(parse(&words("show f")).unwrap(), Action::Show("f".to_owned()));
        assert_eq!(parse(&words("")).unwrap(), Action::Help);
    }

    #[test]
    fn mistakes_are_named() {
        let lines = [
            ("compare --rounds", "--rounds"),
            ("compare --rounds x", "cannot be 'x'"),
            ("compare --rounds 0", "begin at 1"),
            ("compare --seconds NaN", "--seconds"),
            ("compare --proxies envoy", "envoy"),
            ("compare --fast 1", "--fast"),
            ("chaos --proxies haproxy", "does not shard"),
            ("chaos --rounds 3", "--rounds"),
            ("memory --proxies direct", "no proxy"),
            ("memory --rounds 3", "--rounds"),
            ("show", "which file"),
            ("race", "race"),
        ];
        for (line, says) in lines {
            let error = format!("{:#}", parse(&words(line)).unwrap_err());
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
