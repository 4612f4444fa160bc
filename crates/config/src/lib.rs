//! Text of a configuration file in, checked settings or a list of mistakes out.
//!
//! ```text
//!            raw.rs                 check.rs
//!   text ──► sections, keys, ────► Settings { pools, process }
//!            words with places      or every mistake at once, each with its line
//! ```
//!
//! The file is twemproxy's: what nutcracker 0.5.0 accepts is accepted with the same meaning, what it
//! refuses is refused with a reason. Keys that twemproxy does not know are rows of [`options`] marked
//! [`Origin::Cashew`](options::Origin::Cashew). This crate reads no file, opens no socket and resolves
//! names only through the function it is given.

mod address;
mod check;
mod fields;
mod markdown;
mod mistake;
pub mod options;
mod raw;
mod read;
mod settings;
mod suggest;
pub mod units;

pub use crate::address::Resolve;
pub use crate::check::load;
pub use crate::markdown::{help, markdown};
pub use crate::mistake::Mistake;
pub use crate::settings::{
    Address, ClusterEmulation, CrossServer, Io, Listen, OnFailure, OnReturn, Partial, Pool, Process,
    ProcessSection, Protocol, STANDBY_PREFIX, Server, Settings, Timeout, UnknownCommands,
};
pub use crate::units::{Bytes, Millis};

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Resolves a listen address with the system's resolver and takes the first answer, as twemproxy does.
///
/// This may block on DNS; it is what the binary hands to [`load`]. Tests hand in something else.
pub fn system_resolver(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}
