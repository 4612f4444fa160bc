//! Redis: every answer of a pool over real servers is what one server would say, byte for byte.

mod across;
mod auth;
mod client_commands;
mod copies;
mod databases;
mod docs;
mod functions;
mod gather;
mod learn;
mod monitor;
mod noloop;
mod own;
mod parity;
mod pubsub;
mod refused;
mod scan;
mod script;
mod sockets;
mod tracking;

pub(crate) use script::Step;

/// The requests of `commands.txt` that do not depend on an earlier reply.
pub(crate) fn steps() -> Vec<Step> {
    let steps = script::parse(include_str!("commands.txt")).into_iter();
    steps.filter(|step| step.argv.iter().all(|word| !word.starts_with(b"@"))).collect()
}
