//! Clients that send and do not read: many at once, each until its bytes have left or the other side takes no more.

use crate::client::connect;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A client with what it sends: bytes of its own, then some that all share.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    /// Open until the other side closes it.
    pub(crate) socket: Option<OwnedFd>,
    own: Vec<u8>,
    shared: &'a [u8],
    /// Bytes of both that have left.
    pub(crate) sent: usize,
}

impl<'a> Sender<'a> {
    /// Begins to connect.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub(crate) fn connect(target: SocketAddr, own: Vec<u8>, shared: &'a [u8]) -> Result<Self> {
        Ok(Self { socket: Some(connect(target)?), own, shared, sent: 0 })
    }

    /// Whether all has left.
    pub(crate) fn is_done(&self) -> bool {
        self.sent == self.own.len() + self.shared.len()
    }

    /// Sends what the socket takes now: how many bytes. A connection that the other side closed is dropped.
    fn flush(&mut self) -> usize {
        let before = self.sent;
        while let (Some(socket), false) = (&self.socket, self.is_done()) {
            let left = match self.own.get(self.sent..) {
                Some(own) if !own.is_empty() => own,
                _ => &self.shared[self.sent - self.own.len()..],
            };
            match send(socket, left, SendFlags::NOSIGNAL) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.socket = None,
            }
        }
        self.sent - before
    }
}

/// Sends for all of them until all is sent, or nobody could send anything for `patience`.
///
/// # Errors
/// When stopped.
pub(crate) fn push(senders: &mut [Sender<'_>], patience: Duration, stop: &AtomicBool) -> Result<()> {
    let mut progress = Instant::now();
    loop {
        if senders.iter_mut().map(Sender::flush).sum::<usize>() > 0 {
            progress = Instant::now();
        }
        let waiting = senders.iter().filter(|sender| !sender.is_done());
        let mut waits: Vec<PollFd<'_>> = waiting
            .filter_map(|sender| sender.socket.as_ref())
            .map(|it| PollFd::new(it, PollFlags::OUT))
            .collect();
        if waits.is_empty() || progress.elapsed() > patience {
            return Ok(());
        }
        wait(&mut waits)?;
        if stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
    }
}

/// Sends what is left of a client's bytes and reads meanwhile, until `expected` bytes of replies have come; each piece is
/// given to `check` with its place.
///
/// # Errors
/// When the connection is closed, nothing moves for `patience`, `check` fails, or stopped.
pub(crate) fn exchange(
    sender: &mut Sender<'_>,
    expected: usize,
    patience: Duration,
    stop: &AtomicBool,
    mut check: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut received = 0;
    let mut progress = Instant::now();
    while received < expected {
        if sender.flush() > 0 {
            progress = Instant::now();
        }
        let socket = sender.socket.as_ref().context("the connection was closed")?;
        match recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => bail!("the connection was closed after {received} bytes of replies"),
            Ok((count, _)) => {
                check(received, &buffer[..count])?;
                received += count;
                progress = Instant::now();
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                let room = if sender.is_done() { PollFlags::empty() } else { PollFlags::OUT };
                wait(&mut [PollFd::new(socket, PollFlags::IN | room)])?;
            }
            Err(error) => return Err(error).context("receiving"),
        }
        if progress.elapsed() > patience {
            bail!("nothing for {patience:?} after {received} of {expected} bytes of replies");
        }
        if stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
    }
    ensure!(received == expected, "{} bytes that answer nothing", received - expected);
    Ok(())
}

fn wait(sockets: &mut [PollFd<'_>]) -> Result<()> {
    match poll(sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting for sockets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn all_is_sent_in_order_and_a_closed_client_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let shared = vec![b's'; 1 << 20];
        let mut senders = [
            Sender::connect(target, b"first".to_vec(), &shared).unwrap(),
            Sender::connect(target, Vec::new(), &shared).unwrap(),
        ];
        let mut first = listener.accept().unwrap().0;
        drop(listener.accept().unwrap().0);
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; 5 + (1 << 20)];
            first.read_exact(&mut all).unwrap();
            all
        });
        push(&mut senders, Duration::from_secs(60), &NEVER).unwrap();
        assert!(senders[0].is_done());
        assert!(!senders[1].is_done() && senders[1].socket.is_none());
        assert_eq!(reader.join().unwrap(), [b"first".to_vec(), shared.clone()].concat());
    }

    #[test]
    fn one_whom_nobody_reads_gives_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = vec![0; 256 << 20];
        let mut senders = [Sender::connect(listener.local_addr().unwrap(), Vec::new(), &shared).unwrap()];
        push(&mut senders, Duration::from_millis(1), &NEVER).unwrap();
        assert!(!senders[0].is_done() && senders[0].socket.is_some());
    }

    #[test]
    fn replies_are_read_while_sending() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = vec![b'x'; 64 << 20];
        let mut sender = Sender::connect(listener.local_addr().unwrap(), Vec::new(), &shared).unwrap();
        let mut peer = listener.accept().unwrap().0;
        // It answers as it reads: more than sockets hold, so neither can go on without the other.
        let echo = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                match peer.read(&mut buffer).unwrap() {
                    0 => return,
                    count => peer.write_all(&buffer[..count]).unwrap(),
                }
            }
        });
        let patience = Duration::from_secs(60);
        let mut seen = 0;
        exchange(&mut sender, shared.len(), patience, &NEVER, |at, bytes| {
            assert_eq!(at, seen);
            assert!(bytes.iter().all(|byte| *byte == b'x'));
            seen += bytes.len();
            Ok(())
        })
        .unwrap();
        drop(sender);
        echo.join().unwrap();
        assert_eq!(seen, shared.len());
    }
}
