//! The text of the stats port: twemproxy's object to the space and comma, with our fields after its own.
//!
//! In each object twemproxy's scalars come first, then ours, then the nested pools or servers, so that a name an
//! operator chose wins over a field of ours with most parsers (the last of equal keys counts). Nested objects are
//! only ever pools and servers: collectors tell them by that.

use std::fmt::Write;

use crate::histogram::Distribution;
use crate::snapshot::{PoolSnapshot, ServerSnapshot, Snapshot};
use crate::table::{Kind, LATENCY, Origin, PROCESS, PoolMetric, Row, ServerMetric, WorkerMetric};

/// What the stats port says about the process and no worker counts.
#[derive(Debug, Clone, Default)]
pub struct ProcessInfo {
    /// The host's name.
    pub source: String,
    /// Cashew's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Seconds since the epoch.
    pub timestamp: u64,
    /// Connections ever made or accepted, listening sockets included.
    pub total_connections: u64,
    /// Connections open now, listening sockets included.
    pub curr_connections: u64,
    /// Clients that are accepted at the same time.
    pub max_clients: u64,
    /// More numbers of ours, such as limits that were raised at the start.
    pub extra: Vec<(&'static str, u64)>,
}

/// One JSON object and a line feed, as twemproxy's stats port sends them.
pub fn json(snapshot: &Snapshot, process: &ProcessInfo) -> String {
    let mut out = Object::open(String::with_capacity(SIZE_GUESS));
    out.text("service", "nutcracker"); // collectors look for this very name
    out.text("source", &process.source);
    out.text("version", &process.version);
    out.number("uptime", process.uptime);
    out.number("timestamp", process.timestamp);
    out.number(WorkerMetric::TotalConnections.row().name, process.total_connections);
    out.number(WorkerMetric::CurrConnections.row().name, process.curr_connections);
    let [workers, max_clients] = PROCESS;
    out.number(workers.name, snapshot.workers);
    out.number(max_clients.name, process.max_clients);
    out.rows(WorkerMetric::ROWS.iter().zip(snapshot.values).filter(|(row, _)| row.origin == Origin::Cashew));
    for (name, value) in &process.extra {
        out.number(name, value);
    }
    for pool in &snapshot.pools {
        out.nested(&pool.name, |out| pool_fields(out, pool));
    }
    let mut text = out.close();
    text.push('\n');
    text
}

fn pool_fields(out: &mut Object, pool: &PoolSnapshot) {
    out.rows(PoolMetric::ROWS.iter().zip(pool.values));
    out.latency(&pool.latency);
    for server in &pool.servers {
        out.nested(&server.name, |out| server_fields(out, server));
    }
}

fn server_fields(out: &mut Object, server: &ServerSnapshot) {
    out.rows(ServerMetric::ROWS.iter().zip(server.values));
    out.latency(&server.latency);
}

/// Enough for a few pools without growing.
const SIZE_GUESS: usize = 8 << 10;

/// An object being written, with twemproxy's separators: `, ` after a scalar, `,` after an object.
struct Object {
    text: String,
    separator: &'static str,
}

impl Object {
    fn open(mut text: String) -> Self {
        text.push('{');
        Self { text, separator: "" }
    }

    fn close(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn key(&mut self, name: &str) {
        self.text.push_str(self.separator);
        quote(&mut self.text, name);
        self.text.push(':');
        self.separator = ", ";
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        quote(&mut self.text, value);
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.key(name);
        _ = write!(self.text, "{value}"); // writing to a String cannot fail
    }

    fn rows<'a>(&mut self, rows: impl Iterator<Item = (&'a Row, u64)>) {
        for (row, value) in rows {
            match row.kind {
                Kind::Counter | Kind::Timestamp => self.number(row.name, value),
                Kind::Gauge => self.number(row.name, value.cast_signed()),
            }
        }
    }

    fn latency(&mut self, latency: &Distribution) {
        for (row, quantile) in LATENCY.iter().zip([0.5, 0.99, 0.999, 1.0]) {
            if let Some(us) = latency.quantile_us(quantile) {
                self.number(row.name, us);
            }
        }
    }

    fn nested(&mut self, name: &str, fields: impl FnOnce(&mut Object)) {
        self.key(name);
        self.text.push(' ');
        let mut inner = Object::open(std::mem::take(&mut self.text));
        fields(&mut inner);
        self.text = inner.close();
        self.separator = ",";
    }
}

/// Twemproxy writes names as they are; a quote in one makes its JSON invalid, so they are escaped here.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}
