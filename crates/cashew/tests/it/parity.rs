//! The same requests to nutcracker and to cashew, each with servers of its own: what differs is a row of the
//! table in `docs/twemproxy.md`, and each row still differs.
//!
//! ```text
//!   case: request + row id ──> pair: nutcracker, cashew ──> table: expected, listed, still so
//! ```

pub(crate) mod case;
pub(crate) mod pair;
pub(crate) mod table;

mod commands;
mod memcache;
mod page;
mod redis;
mod trouble;
