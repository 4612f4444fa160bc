//! One connection of a scripted peer: plays its steps, one after the other, on a thread of its own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use super::{Connection, LOOK_UP, Shared, Step, lock};
use crate::client::Shown;
use crate::framing;
use crate::wait::DEADLINE;

/// One connection, playing.
pub(super) struct Player {
    pub(super) stream: TcpStream,
    pub(super) index: usize,
    /// Received and recorded, but not used by a step yet.
    pub(super) unread: Vec<u8>,
    pub(super) shared: Arc<Shared>,
}

impl Player {
    pub(super) fn run(mut self, steps: &[Step]) {
        let ready = self.stream.set_nodelay(true).and_then(|()| self.stream.set_read_timeout(Some(LOOK_UP)));
        let ready = ready.and_then(|()| self.stream.set_write_timeout(Some(LOOK_UP)));
        let played = ready.and_then(|()| self.play(steps));
        self.note(|c| {
            // A client that leaves is no failure: who cares reads what was received.
            if let Err(e) = played
                && e.kind() == io::ErrorKind::InvalidData
            {
                c.failure = Some(e.to_string());
            }
            c.over = true;
        });
    }

    fn play(&mut self, steps: &[Step]) -> io::Result<()> {
        let mut next = 0;
        while let Some(step) = steps.get(next) {
            next += 1;
            match step {
                Step::Expect(bytes) => self.expect(bytes)?,
                Step::Requests(count) => (0..*count).try_for_each(|_| self.request())?,
                Step::Send(bytes) => self.send(bytes)?,
                Step::SendSlowly { bytes, size, pause } => {
                    for piece in bytes.chunks((*size).max(1)) {
                        thread::park_timeout(*pause);
                        self.send(piece)?;
                    }
                }
                Step::ReadSlowly { size, pause } => self.read_all((*size).max(1), *pause)?,
                Step::ReadToEnd => self.read_all(CHUNK, Duration::ZERO)?,
                Step::Stall(gate) => while !gate.wait_a_moment() && !self.stopped() {},
                Step::Again => next = 0,
                Step::Close => return Ok(()),
                Step::Reset => {
                    sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
                    return Ok(());
                }
            }
            if self.stopped() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn expect(&mut self, wanted: &[u8]) -> io::Result<()> {
        let start = Instant::now();
        loop {
            let shared = wanted.len().min(self.unread.len());
            if self.unread.get(..shared) != wanted.get(..shared) {
                return Err(surprise(format!("expected {}, got {}", Shown(wanted), Shown(&self.unread))));
            }
            if shared == wanted.len() {
                self.unread.drain(..shared);
                return Ok(());
            }
            if start.elapsed() > DEADLINE {
                return Err(surprise(format!(
                    "waited in vain for {}, got {}",
                    Shown(wanted),
                    Shown(&self.unread)
                )));
            }
            self.more(CHUNK)?;
        }
    }

    fn request(&mut self) -> io::Result<()> {
        loop {
            match framing::request(&self.unread) {
                Ok(Some(length)) => {
                    self.unread.drain(..length);
                    return Ok(());
                }
                Ok(None) => self.more(CHUNK)?,
                Err(why) => {
                    return Err(surprise(format!("expected a request, but {why}: {}", Shown(&self.unread))));
                }
            }
        }
    }

    fn read_all(&mut self, size: usize, pause: Duration) -> io::Result<()> {
        while !self.stopped() {
            thread::park_timeout(pause);
            self.more(size)?;
            self.unread.clear();
        }
        Ok(())
    }

    /// Reads some bytes, or none when the client is silent for a moment.
    fn more(&mut self, size: usize) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        let chunk = chunk.get_mut(..size.min(CHUNK)).unwrap_or_default();
        match self.stream.read(chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                let bytes = chunk.get(..count).unwrap_or_default();
                self.unread.extend_from_slice(bytes);
                self.note(|c| c.received.extend_from_slice(bytes));
                Ok(())
            }
            Err(e) if patience(&e) && !self.stopped() => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(e) if patience(&e) && !self.stopped() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    fn note(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = lock(&self.shared.connections).get_mut(self.index) {
            change(connection);
        }
    }
}

fn surprise(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Whether a read or write only ran into [`LOOK_UP`].
fn patience(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Bytes per read.
const CHUNK: usize = 65_536;
