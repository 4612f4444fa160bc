//! Compares cashew with its peers on this machine: `cargo run --release -p bench -- compare`. README.md says how
//! to read what it prints.
//!
//! ```text
//!   compare ──→ proxies ──→ process                          starts and stops servers and proxies
//!      ├──────→ preload ──────────────→ protocol ──→ data      what goes over the wire
//!      ├──────→ turn ──→ load ──→ client ───↑
//!      │          │        └────→ pace                         when requests start
//!      │          └────→ measure                               what it cost
//!      ├──────→ syscalls, control                              measured beside: by perf or strace, by redis-benchmark
//!      └──────→ machine, record ──→ report                     where; raw figures; the table
//!   document ─→ record, report, chart                          docs/performance.md from saved figures
//!   all ──────→ compare, relief, document
//! ```
//! Beside it are `relief`, what proxies take off a server, `chaos`, in which the same servers fail in many ways while every reply
//! is verified, and `memory`, in which clients give proxies reason to take much of it.

mod all;
mod chaos;
mod chart;
mod cli;
mod client;
mod compare;
mod control;
mod data;
mod document;
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
mod relief;
mod report;
mod scenario;
mod syscalls;
mod turn;

use anyhow::Result;
use cli::{Action, USAGE, parse};
use record::{Record, bench_dir};
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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

/// Prints what was asked for. Who reads it may have enough before its end (`| head`).
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn list() -> Result<String> {
    let mut text = String::new();
    for set in scenario::SETS {
        writeln!(text, "--set {}: {}", set.name, set.what)?;
        for row in scenario::select(Some(set.name), None)? {
            writeln!(text, "  {:20} {}", row.name(), row.describe())?;
        }
    }
    writeln!(text, "memory:")?;
    for row in memory::SITUATIONS {
        writeln!(text, "  {:20} {}", row.name, row.what)?;
    }
    Ok(text)
}

fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Help => say(&format!("{USAGE}\n"))?,
        Action::List => say(&list()?)?,
        Action::Show(file) => say(&show(file.as_ref())?)?,
        Action::Document(options) => document::document(&options)?,
        Action::All(options) => all::all(&options, &*stop_flag()?)?,
        Action::Relief(options) => return run_relief(&options),
        Action::Compare(options) => return run_compare(&options),
        Action::Chaos(options) => return run_chaos(&options),
        Action::Memory(options) => return run_memory(&options),
    }
    Ok(ExitCode::SUCCESS)
}

/// Saved results, of whichever kind they are.
fn show(file: &std::path::Path) -> Result<String> {
    let render = |it: &Record| if relief::is_relief(it) { relief::render(it) } else { report::render(it) };
    Record::load(file).map(|record| render(&record)).or_else(|error| {
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
fn run_compare(options: &compare::Options) -> Result<ExitCode> {
    let record = compare::compare(options, None, &*stop_flag()?)?;
    finish(&record, report::render(&record), options.save)
}

/// The same.
fn run_relief(options: &relief::Options) -> Result<ExitCode> {
    let record = relief::relief(options, &*stop_flag()?)?;
    finish(&record, relief::render(&record), options.save)
}

fn finish(record: &Record, text: String, save: bool) -> Result<ExitCode> {
    print!("{text}");
    let path = record.save(&bench_dir().join(if save { "results" } else { "out" }))?;
    println!("\nsaved as {}", path.display());
    let failed = record.scenarios.iter().flat_map(|it| &it.proxies).any(|proxy| proxy.failure.is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
