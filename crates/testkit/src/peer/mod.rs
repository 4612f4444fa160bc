//! Servers that misbehave, one way per file. Each is a few steps for a [`crate::script::Peer`].
//!
//! A proxy in front of any of them must answer its clients with the reply they asked for or with an error,
//! close what cannot be trusted any more, and never let one client's trouble reach another.

pub mod garbage;
pub mod reset;
pub mod slow;
pub mod split;
pub mod stall;

use std::io;

use crate::script::{Peer, Step};

/// A peer that behaves: `reply` to every request. The others are variations of it.
///
/// # Errors
/// When no port can be bound.
pub fn polite(reply: &[u8]) -> io::Result<Peer> {
    Peer::start(vec![Step::Requests(1), Step::send(reply), Step::Again])
}
