//! Listening sockets and the connections that come in through them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType, sockopt};

use super::SOCKET_FLAGS;
use super::address::{Peer, peer};

/// Listens on a TCP address with SO_REUSEADDR, and SO_REUSEPORT if asked. `backlog` is how many connections may wait to
/// be accepted; the kernel lowers it to [`crate::somaxconn`]. IPV6_V6ONLY stays as the system has it (off unless the
/// operator changed net.ipv6.bindv6only), as in twemproxy.
pub fn listen_tcp(addr: SocketAddr, backlog: u32, reuseport: bool) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::STREAM, SOCKET_FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if reuseport {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    net::bind(&socket, &addr)?;
    net::listen(&socket, clamped(backlog))?;
    Ok(socket)
}

/// Listens on a unix socket, and removes a socket that is in its place, as twemproxy does; any other file there is an
/// error (`AddrInUse`). `mode` are the file's permissions, set before the first connection can come in.
pub fn listen_unix(path: &Path, mode: Option<u32>, backlog: u32) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SOCKET_FLAGS, None)?;
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    net::bind(&socket, &address)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    net::listen(&socket, clamped(backlog))?;
    Ok(socket)
}

/// Takes one waiting connection; `None` when there is none. A connection that broke while it waited is passed over.
/// When [`is_exhausted`] says so of an error, the connection stays in the backlog and the listener stays readable: stop
/// watching it until a descriptor is free.
pub fn accept(listener: impl AsFd) -> io::Result<Option<(OwnedFd, Peer)>> {
    loop {
        match net::acceptfrom_with(&listener, SOCKET_FLAGS) {
            Ok((socket, address)) => return Ok(Some((socket, peer(address)))),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) if broke_while_waiting(error) => {} // that connection is gone; the next call sees the next
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether an error of [`accept`] (or of making any descriptor) means that the process or the machine is out of
/// descriptors or memory: nothing is wrong with the socket, and trying later may succeed.
pub fn is_exhausted(error: &io::Error) -> bool {
    let error = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].into_iter().any(|other| error == Some(other))
}

/// Linux hands errors of the new connection's network to accept; accept(2) says to treat them as "try again".
fn broke_while_waiting(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    )
}

fn clamped(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}
