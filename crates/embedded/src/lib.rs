//! In-memory redis and memcached servers, good enough to try real clients on.
//!
//! Cashew starts some when it is started without a configuration, and tests use them where a real server is
//! more than they need. They speak the everyday commands with the replies and error texts of the real ones,
//! keep everything in memory within a bound, and forget it when they stop. They are no replacement for
//! either: no persistence, no replication, no scripts, no transactions, one thread.
//!
//! ```text
//! running ── listeners ──→ serve ── bytes ──→ redis or memcache session ──→ keyspace
//!                            ←── replies ───────────┘
//! ```
//! `serve` moves bytes and knows no protocol; a session turns bytes into replies and knows no socket; a
//! `keyspace` holds values within a bound and knows no protocol either.
//!
//! The reader of requests is this crate's own and not `wire`'s: these servers stand on the other side of the
//! proxy in tests, where a mistake must not cancel itself out.

mod clock;
mod keyspace;
mod memcache;
mod options;
mod redis;
mod running;
mod serve;
#[cfg(test)]
mod storm;

pub use memcache::serve as memcache;
pub use options::Options;
pub use redis::serve as redis;
pub use running::{Embedded, Running, start};
