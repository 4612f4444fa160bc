//! `cargo xtask count`: what requests cost, counted instead of timed, compared with `bench/counts.txt`.
//!
//! ```text
//!   run ──→ callgrind     instructions, system calls and allocations of worker and engine, function by function
//!   trace                 system calls of the whole proxy, name by name
//!     └──→ record ──→ compare, series
//! ```
//! Counts do not depend on how busy the machine is, and hardly on which machine it is: a processor that pretends to be
//! another one, callgrind, does the counting. bench/README.md says how to read the record.

mod callgrind;
mod compare;
mod record;
mod run;
mod series;
mod trace;

use anyhow::{Context, bail, ensure};
use record::{Machine, Record};

const USAGE: &str = "usage: cargo xtask count [--write]";

/// Counts and compares; with `--write`, records anew instead. Fails when anything changed by more than the tolerance, or
/// when cost grows with the size of the proxy.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let write = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => bail!(USAGE),
    };
    let mut rows = run::count()?;
    rows.extend(trace::count()?);
    let counted = Record { machine: Machine::here()?, rows };
    let path = crate::root().join(PATH);
    if write {
        ensure!(counted.has_ring(), "a record needs a kernel with io_uring");
        std::fs::write(&path, counted.to_string()).with_context(|| PATH)?;
        println!("recorded in {PATH}");
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("{PATH}: `{AGAIN}` makes it"))?;
    let recorded = Record::parse(&text).with_context(|| PATH)?;
    print!("{}", compare::table(&recorded, &counted));
    let mut complaints = compare::compare(&recorded, &counted);
    complaints.extend(series::check(&counted.rows));
    if complaints.is_empty() {
        return Ok(());
    }
    complaints.iter().for_each(|complaint| eprintln!("\n{complaint}"));
    bail!("{} figures differ from {PATH}; where that is meant, record them anew: {AGAIN}", complaints.len());
}

/// From the root of the project.
const PATH: &str = "bench/counts.txt";

const AGAIN: &str = "cargo xtask count --write";
