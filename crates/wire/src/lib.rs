//! Bytes to messages and back, for RESP (redis) and memcached's classic text protocol.
//!
//! This crate knows what bytes mean to a protocol, not what a command means to the proxy. It never sees a
//! socket or a clock, never panics on what came from outside, never copies a value and allocates nothing
//! per message.
//!
//! ```text
//!   bytes of one connection, contiguous, starting at a message's first byte
//!   ┌──────────────── buf ────────────────┐
//!   │ message          │ next message ... │──→ scan(buf) ──→ Complete{len}: drop len bytes, scan again
//!   └─────────────────────────────────────┘               ├→ Partial: come back with these bytes and more
//!        ▲ a small `*Scan` beside it remembers how         └→ Invalid / Refused / Close
//!          far it looked, so no byte is searched twice
//! ```
//!
//! A scan that finds a whole message in its first call makes one pass. One that had to wait keeps a few
//! words of state, finds the end by them, and then makes one pass over the whole message for its arguments.
//! The verdict depends on the bytes alone, never on how they were split into reads.

pub mod args;
#[doc(hidden)]
pub mod check;
pub mod limits;
pub mod memcache;
pub mod resp;
mod scan;

pub use args::{ArgView, Args, Span};
pub use limits::Limits;
