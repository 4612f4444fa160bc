//! Readiness and sockets: the only crate that makes system calls. It knows no protocol.
//!
//! A worker owns one [`Reactor`] and turns it like this:
//! ```text
//! reactor.wait(&mut events, until the next deadline)
//! for event in events.iter()  ->  net::accept / net::recv / net::connect_error
//!                                 net::send, net::sendv at the end of the turn
//! reactor.add / modify / remove in between, whenever sockets come, change and go
//! ```
//!
//! Where the kernel allows it, a [`Ring`] (io_uring) takes over the streams, and the reactor keeps listeners and whatever is not
//! simply read; `ring.rs` says how, `tests/ring.rs` holds it to that.
//!
//! # What every backend must do
//! The backend is epoll. Another one has the same methods and passes the same suite (`tests/contract.rs`):
//!
//! - **Level-triggered.** As long as a socket is ready for what was asked, every `wait` says so. Reading a part of
//!   what is there loses nothing.
//! - **Only what was asked.** `readable` and `writable` are reported only to who asked for them. `closed` is
//!   reported always, even to an empty interest, and again by every `wait` until the descriptor is removed.
//! - **Half a close is no close.** A peer that only ended its sending makes the socket readable (a read of length
//!   0) and nothing else; replies can still be sent.
//! - **`add`, `modify` and `remove` count from the next `wait` on.** Events already handed out may still name a
//!   descriptor that has been removed since: a token must tell old from new (a generation).
//! - **A readiness is a hint.** Whoever acts on one copes with "would block".
//! - **No descriptor starves.** When more are ready than fit, the rest come first in the following waits.
//! - **`wait` never returns early** without an event, except when a signal arrived; it rounds times up, never down.
//! - A listener added by `add_listener` to several reactors wakes at least one of them for each connection, and as
//!   few more as the kernel can manage.

#[cfg(not(target_os = "linux"))]
compile_error!("Cashew runs on Linux: the reactor is made of epoll, eventfd and accept4");

mod affinity;
mod cgroup;
pub mod crash;
mod epoll;
pub mod heap;
mod host;
mod limits;
pub mod net;
mod ring;
mod session;
mod wake;

pub use affinity::{allowed_cpus, cpu_list, pin};
pub use epoll::{Events, Reactor};
pub use host::{host_name, system};
pub use limits::{raise_nofile, set_nofile, somaxconn};
pub use ring::{Arrival, Order, Ring};
pub use session::{leave_terminal, silence_stderr};
pub use wake::Waker;

/// A number of the owner's choice that comes back with every event of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What an owner wants to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// There is something to read, a connection to accept, or the peer ended its sending.
    pub readable: bool,
    /// There is room to write, or a connection in progress is decided.
    pub writable: bool,
}

impl Interest {
    /// Nothing but `closed`: a paused connection.
    pub const NONE: Self = Self { readable: false, writable: false };
    /// To read.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// To write.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
    /// To read and to write.
    pub const BOTH: Self = Self { readable: true, writable: true };
}

/// What became of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The number it was added with.
    pub token: Token,
    /// A read would not block. It may find the end, or an error.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// The connection is gone in both directions, or failed. Bytes that came before may still be there to read; a
    /// read tells the reason, [`net::connect_error`] that of a connection in progress.
    pub closed: bool,
}
