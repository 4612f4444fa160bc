//! Bytes in and out of a connected socket: the calls a worker makes most.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};

/// Reads what is there: `Some(0)` at the end (or for an empty `buf`), `None` when there is nothing yet.
#[inline]
pub fn recv(fd: impl AsFd, buf: &mut [u8]) -> io::Result<Option<usize>> {
    let fd = fd.as_fd();
    ready(|| net::recv(fd, &mut *buf, RecvFlags::empty()).map(|(read, _)| read))
}

/// Writes as much as fits, which may be less than all: `None` when there is no room at all. A broken connection is an
/// error, never a signal.
#[inline]
pub fn send(fd: impl AsFd, buf: &[u8]) -> io::Result<Option<usize>> {
    let fd = fd.as_fd();
    ready(|| net::send(fd, buf, SendFlags::NOSIGNAL))
}

/// Writes several pieces in one call, as [`send`] does one; of more than 1024 only the first 1024.
#[inline]
pub fn sendv(fd: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let (fd, pieces) = (fd.as_fd(), pieces.get(..PIECES_MAX).unwrap_or(pieces));
    ready(|| net::sendmsg(fd, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL))
}

/// Ends our sending; what was written before still arrives, and the peer may go on sending.
pub fn shutdown(fd: impl AsFd) -> io::Result<()> {
    Ok(net::shutdown(fd, Shutdown::Write)?)
}

/// Sends small writes at once (TCP_NODELAY); fails for a unix socket.
pub fn set_nodelay(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(fd, true)?)
}

/// Has the kernel ask a silent peer from time to time whether it is still there (SO_KEEPALIVE, with the system's
/// times).
pub fn set_keepalive(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_keepalive(fd, true)?)
}

/// Has the close of a TCP connection reset it: what was written and has not arrived never does, instead of being tried
/// for minutes after the close.
pub fn reset_on_close(fd: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

/// Turns "would block" into `None`, and repeats what a signal interrupted.
#[inline(always)]
fn ready(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Linux's UIO_MAXIOV: more pieces in one call are an error.
const PIECES_MAX: usize = 1024;
