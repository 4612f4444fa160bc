//! The text of `--describe-stats`: twemproxy's two blocks as it prints them, then ours.

use std::fmt::Write;

use crate::table::{LATENCY, Origin, PROCESS, PoolMetric, Row, ServerMetric, WorkerMetric};

/// What `-D` prints after the version, each line ended by a line feed.
pub fn describe() -> String {
    let mut out = String::new();
    let is = |origin| move |row: &&Row| row.origin == origin;
    block(&mut out, "pool stats", PoolMetric::ROWS.iter().filter(is(Origin::Twemproxy)));
    out.push('\n');
    block(&mut out, "server stats", ServerMetric::ROWS.iter().filter(is(Origin::Twemproxy)));
    out.push('\n');
    let counted = WorkerMetric::ROWS.iter().chain(&PoolMetric::ROWS).chain(&ServerMetric::ROWS);
    block(&mut out, "cashew stats", PROCESS.iter().chain(counted.filter(is(Origin::Cashew))).chain(&LATENCY));
    out
}

fn block<'a>(out: &mut String, title: &str, rows: impl Iterator<Item = &'a Row>) {
    _ = writeln!(out, "{title}:"); // writing to a String cannot fail
    for row in rows {
        _ = writeln!(out, "  {:<20}\"{}\"", row.name, row.help);
    }
}
