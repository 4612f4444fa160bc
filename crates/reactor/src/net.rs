//! Sockets: every one is non-blocking and closed on exec. Nothing here waits.

mod address;
mod connect;
mod listen;
mod stream;

pub use address::{Peer, SockAddr, bound_addr};
pub use connect::{Progress, connect, connect_error};
pub use listen::{accept, is_exhausted, listen_tcp, listen_unix};
pub use stream::{recv, reset_on_close, send, sendv, set_keepalive, set_nodelay, shutdown};

use rustix::net::SocketFlags;

pub(crate) const SOCKET_FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
