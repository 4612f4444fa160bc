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

mod client;
mod compare;
mod data;
mod load;
mod machine;
mod measure;
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
       bench show FILE            print a saved comparison again
       bench list                 list the scenarios

  --only NAME[,NAME]     only these scenarios, or those whose names begin so
  --proxies NAME[,NAME]  only these of nutcracker, cashew, haproxy, direct (default: all, in this order)
  --rounds N             rounds per scenario and proxy (default: 3)
  --seconds S            length of a round (default: as long as four minutes in all allow, 0.3 to 3)
  --rate N               N requests per second whatever the proxy does, latency from the intended time
                         (default: each client sends as soon as it has its reply)
  --cashew PATH          this program instead of building target/release/cashew
  --save                 write the results to bench/results instead of bench/out";

/// What to do.
#[derive(Debug, PartialEq)]
enum Action {
    Compare(Options),
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
        }
        Action::Show(file) => print!("{}", report::render(&Record::load(file.as_ref())?)),
        Action::Compare(options) => return run_compare(&options),
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails when a proxy failed a scenario, so that a script notices.
fn run_compare(options: &Options) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
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
            ("show", "which file"),
            ("race", "race"),
        ];
        for (line, says) in lines {
            let error = format!("{:#}", parse(&words(line)).unwrap_err());
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
