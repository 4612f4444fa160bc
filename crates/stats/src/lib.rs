//! Counting without locks: twemproxy's statistics and Cashew's own, as one table.
//!
//! ```text
//!  worker 0 ── writes ──> Shard 0 ─┐
//!  worker 1 ── writes ──> Shard 1 ─┼── Registry::snapshot ──> Snapshot ──> json (stats port)
//!  worker n ── writes ──> Shard n ─┘
//!  any worker ── push ──> EventRing ── pop ──> the log
//! ```
//!
//! Every counter has exactly one writing thread and any number of readers, so counting is a plain load, add and
//! store, and reading is always current. Nothing here does I/O, starts a thread or looks at a clock.

mod counter;
mod describe;
mod event;
mod event_text;
mod histogram;
mod json;
mod shard;
mod snapshot;
mod table;
mod text;

pub use counter::Counter;
pub use describe::describe;
pub use event::{Event, EventRing, Peer, Severity};
pub use event_text::Described;
pub use histogram::{Distribution, Histogram, Latency};
pub use json::{ProcessInfo, json};
pub use shard::{Layout, PoolLayout, PoolShard, Registry, ServerShard, Shard};
pub use snapshot::{PoolSnapshot, ServerSnapshot, Snapshot};
pub use table::{Kind, LATENCY, Origin, PROCESS, PoolMetric, Row, ServerMetric, WorkerMetric};
pub use text::Text;
