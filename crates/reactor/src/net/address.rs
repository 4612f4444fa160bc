//! Where a socket listens or connects to.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getsockname};

/// The address of a listener or a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SockAddr {
    /// TCP over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SockAddr::Inet(address) => write!(f, "{address}"),
            SockAddr::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Who is at the other end of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP address.
    Inet(SocketAddr),
    /// Somebody on this machine, without a name.
    Unix,
}

impl Peer {
    /// The TCP address, if it has one.
    pub fn inet(self) -> Option<SocketAddr> {
        match self {
            Peer::Inet(address) => Some(address),
            Peer::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Inet(address) => write!(f, "{address}"),
            Peer::Unix => f.write_str("unix socket"),
        }
    }
}

/// The address a socket is bound to: with the port the kernel chose when it was asked for port 0.
pub fn bound_addr(fd: impl AsFd) -> io::Result<SockAddr> {
    let address = getsockname(fd)?;
    if address.address_family() == AddressFamily::UNIX {
        let address = SocketAddrUnix::try_from(address)?;
        let path = address.path_bytes().unwrap_or_default();
        return Ok(SockAddr::Unix(OsStr::from_bytes(path).into()));
    }
    Ok(SockAddr::Inet(address.try_into()?))
}

/// The other end as `accept` told it.
pub(super) fn peer(address: Option<SocketAddrAny>) -> Peer {
    address.and_then(|address| address.try_into().ok()).map_or(Peer::Unix, Peer::Inet)
}
