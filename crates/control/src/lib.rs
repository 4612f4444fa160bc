//! The control plane: one thread with an async runtime. It starts the workers, hands them snapshots, reads
//! their counters, writes the log and the stats port, judges servers, and ends it all.
//!
//! ```text
//!  signals ─┐                                  ┌─> workers (mailboxes: topology, addresses, stop)
//!  notices ─┼─> plane: one loop, one decision ─┼─> log
//!  probes  ─┤            at a time             └─> stats port
//!  events  ─┘
//! ```
//! It never touches a data socket.

mod admin;
mod capacity;
mod cleaning;
mod discovery;
mod event_log;
mod follow;
mod health;
mod heap;
mod judge;
mod learning;
pub mod log;
mod orders;
mod plane;
mod probe;
mod returning;
mod signal;
mod start;
mod timeouts;
mod views;

pub use capacity::Capacity;
pub use log::{Level, Log};
pub use start::{Options, Ready, StartError, run};
