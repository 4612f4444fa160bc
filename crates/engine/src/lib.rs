//! The proxy, without I/O: bytes and the time come in, bytes and intents come out.
//!
//! The path of a request:
//! ```text
//!  client bytes                                                        server bytes
//!      |                                                                    |
//!  core::client_data                                              incoming::conn_data
//!      | wire: one request                                                  | wire: one reply
//!  route::redis / route::memcache                                 incoming::take_reply
//!      | command table: by key, split, fan-out, here, refused               | queue: whom it answers
//!      |                                                                    |
//!      |-- local ------------------------------------------------+          |
//!      |-- by key --> pool::conn_for --> append, queued          |          |
//!      |-- split, fan-out --> merge --> append, queued (each)    |    merge (last part in)
//!                                 |                              |          |
//!                          Output::WriteConn                 replies::answer: out if it is the
//!                                                            client's next, else parked in its slot
//!                                                                           |
//!                                                                  Output::WriteClient
//! ```
//! While servers of a pool are away, `place` asks `PoolView::elsewhere`, and a write by key is followed by what `away`
//! says. Nothing here knows a socket, a clock, a thread or a log; the same code runs in the worker and in the
//! simulator (`tests/sim`).

pub mod away;
pub mod client;
pub mod command;
pub mod core;
pub mod databases;
pub mod deadline;
mod docs;
pub mod error;
mod expire;
mod failure;
mod flow;
mod functions;
mod gather;
pub mod id;
mod incoming;
pub mod input;
mod joined;
mod lane;
mod large_keys;
pub mod limits;
mod memory;
pub mod merge;
mod monitor;
pub mod outbox;
pub mod output;
pub mod pinned;
pub mod pool;
pub mod pubsub;
pub mod replies;
pub mod request;
mod route;
mod scan;
mod scripts;
pub mod server_conn;
mod session;
pub mod slab;
pub mod stream;
pub mod survey;
pub mod topology;
mod tracking;
mod transfer;
mod usage;

pub use crate::core::{Core, Process};
pub use crate::input::{Input, Now};
pub use crate::output::{Closing, Output};
pub use crate::usage::Usage;
