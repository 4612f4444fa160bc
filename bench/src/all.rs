//! `bench all`: everything that docs/performance.md shows, in one go. What is done is kept in bench/out until the end, so that a
//! run that was broken off goes on where it was.

use crate::compare::{self, Rate};
use crate::proxies::{Kind, Paths};
use crate::record::{Record, bench_dir};
use crate::scenario::OTHERS;
use crate::{cli, document, relief, report};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// A set of scenarios for the first part.
    pub(crate) set: Option<String>,
    /// Only these, in the first part and, as far as it has them, the second.
    pub(crate) only: Option<String>,
    /// In this order.
    pub(crate) proxies: Vec<Kind>,
    /// Rounds per scenario and proxy.
    pub(crate) rounds: u32,
    /// Length of a round.
    pub(crate) seconds: f64,
    /// Programs to use instead of looking for them.
    pub(crate) paths: Paths,
    /// The machine does other work.
    pub(crate) provisional: bool,
    /// Keep the results among those of the project, and write the project's document.
    pub(crate) save: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            set: None,
            only: None,
            proxies: cli::all_kinds(),
            rounds: 5,
            seconds: 1.2,
            paths: Paths::default(),
            provisional: false,
            save: false,
        }
    }
}

/// Runs all parts and writes the document; `stop` ends it early.
///
/// # Errors
/// When a part cannot run, a file cannot be written, or `stop` is set.
pub(crate) fn all(options: &Options, stop: &AtomicBool) -> Result<()> {
    let closed = compare::Options {
        rounds: options.rounds,
        seconds: Some(options.seconds),
        set: options.set.clone(),
        only: options.only.clone(),
        proxies: options.proxies.clone(),
        paths: options.paths.clone(),
        rate: Rate::Closed,
        syscalls: true,
        control: true,
        provisional: options.provisional,
        save: options.save,
    };
    let everything = options.set.is_none() && options.only.is_none();
    let others = compare::Options {
        rounds: options.rounds.min(OTHERS_ROUNDS),
        set: Some(OTHERS.to_owned()),
        proxies: options.proxies.iter().copied().filter(|kind| *kind != Kind::Direct).collect(),
        syscalls: false,
        control: false,
        ..closed.clone()
    };
    let set = options.only.is_none().then(|| LATENCY_SET.to_owned());
    let open = compare::Options { set, rate: Rate::Half, syscalls: false, control: false, ..closed.clone() };
    let wanted = |kind: &Kind| options.proxies.contains(kind);
    let relief = relief::Options {
        rounds: options.rounds,
        seconds: options.seconds,
        proxies: relief::Options::default().proxies.into_iter().filter(wanted).collect(),
        paths: options.paths.clone(),
        provisional: options.provisional,
        save: options.save,
        ..relief::Options::default()
    };

    let out = bench_dir().join("out");
    let unfinished = ["closed", "half", "others"].map(|part| out.join(format!("unfinished-{part}.json")));
    let mut records = vec![
        compare::compare(&closed, Some(&unfinished[0]), stop)?,
        compare::compare(&open, Some(&unfinished[1]), stop)?,
        relief::relief(&relief, stop)?,
    ];
    if everything {
        records.push(compare::compare(&others, Some(&unfinished[2]), stop)?);
    }
    let dir = if options.save { bench_dir().join("results") } else { out.clone() };
    let files: Vec<PathBuf> = records.iter().map(|record| save(record, &dir)).collect::<Result<_>>()?;
    document::document(&document::Options { files, to: (!options.save).then_some(out) })?;
    // All is kept now.
    unfinished.iter().filter(|path| path.exists()).try_for_each(std::fs::remove_file)?;
    Ok(())
}

fn save(record: &Record, dir: &Path) -> Result<PathBuf> {
    let text = if relief::is_relief(record) { relief::render(record) } else { report::render(record) };
    println!("{text}");
    let path = record.save(dir)?;
    println!("saved as {}\n", path.display());
    Ok(path)
}

/// The scenarios of the second part.
const LATENCY_SET: &str = "latency";

/// The other loads are many, and nothing is promised of them: they show where somebody else is cheaper.
const OTHERS_ROUNDS: u32 = 3;
