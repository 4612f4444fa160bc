//! What bytes pass between a socket and the engine. Plain today; TLS will be a second variant.

use reactor::net;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One connection's way to the network.
#[derive(Debug)]
pub(crate) enum Transport {
    /// As they are.
    Plain(OwnedFd),
}

impl Transport {
    /// Reads once. Nothing: there is nothing now. 0: the peer has ended its side.
    #[inline]
    pub(crate) fn recv(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Transport::Plain(socket) => net::recv(socket, into),
        }
    }

    /// Writes once. Nothing: there is no room now.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Transport::Plain(socket) => net::send(socket, bytes),
        }
    }

    /// Ends our side.
    pub(crate) fn shutdown(&self) {
        match self {
            // A connection that is already gone needs no end.
            Transport::Plain(socket) => _ = net::shutdown(socket),
        }
    }

    /// The close that follows drops what has not arrived.
    pub(crate) fn abort(&self) {
        match self {
            // Fails only on a socket that is gone already.
            Transport::Plain(socket) => _ = net::reset_on_close(socket),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
        }
    }
}
