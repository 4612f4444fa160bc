//! Connections to servers, without waiting for them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType, sockopt};

use super::SOCKET_FLAGS;
use super::address::SockAddr;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Made.
    Connected,
    /// To be decided: when the socket becomes writable or closed, [`connect_error`] tells how it went.
    InProgress,
}

/// Begins a connection. An error is this connection's end; a unix socket whose backlog is full is `WouldBlock`.
pub fn connect(addr: &SockAddr) -> io::Result<(OwnedFd, Progress)> {
    let family = match addr {
        SockAddr::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
        SockAddr::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
        SockAddr::Unix(_) => AddressFamily::UNIX,
    };
    let socket = net::socket_with(family, SocketType::STREAM, SOCKET_FLAGS, None)?;
    let connected = match addr {
        SockAddr::Inet(addr) => net::connect(&socket, addr),
        SockAddr::Unix(path) => net::connect(&socket, &SocketAddrUnix::new(path)?),
    };
    match connected {
        Ok(()) => Ok((socket, Progress::Connected)),
        // An interrupted connect goes on by itself, as one in progress does.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok((socket, Progress::InProgress)),
        Err(error) => Err(error.into()),
    }
}

/// How a connection in progress went, once its socket was reported writable or closed. (Asking also clears the
/// socket's error.)
///
/// A socket that connected to itself is reported as refused. That happens when nobody listens on a port of this
/// machine that lies in the range for outgoing connections: sooner or later the kernel gives the connecting socket that
/// very port, TCP's simultaneous open succeeds, and the proxy would talk to itself and keep the server from starting.
pub fn connect_error(fd: impl AsFd) -> io::Result<()> {
    sockopt::socket_error(&fd)??;
    let (Ok(here), Ok(Some(there))) = (net::getsockname(&fd), net::getpeername(&fd)) else { return Ok(()) };
    let is_inet = SocketAddr::try_from(here.clone()).is_ok();
    if is_inet && here == there { Err(Errno::CONNREFUSED.into()) } else { Ok(()) }
}
