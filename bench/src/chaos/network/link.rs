//! One connection through a forwarder: two sockets, and what waits between them.

use super::{Ending, Mode};
use crate::data::Rng;
use rustix::event::epoll::EventFlags;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The two ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Proxy,
    Server,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Lives,
    Closed,
    Reset,
}

/// An end and what may be done with it without being told again (events are edge-triggered).
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: TcpStream,
    readable: bool,
    writable: bool,
    over: bool,
}

/// What waits in one direction.
#[derive(Debug, Default)]
struct Pipe {
    queue: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    shut: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) forwarder: usize,
    pub(super) proxy: End,
    pub(super) server: End,
    requests: Pipe,
    replies: Pipe,
    /// Replies after so many bytes are cut.
    cut: Option<(usize, Ending)>,
}

impl Link {
    pub(super) fn new(forwarder: usize, proxy: TcpStream, server: TcpStream) -> std::io::Result<Self> {
        for socket in [&proxy, &server] {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
        }
        let end = |socket| End { socket, readable: true, writable: true, over: false };
        Ok(Self {
            forwarder,
            proxy: end(proxy),
            server: end(server),
            requests: Pipe::default(),
            replies: Pipe::default(),
            cut: None,
        })
    }

    /// A socket has become ready.
    pub(super) fn ready(&mut self, side: Side, flags: EventFlags) {
        let end = match side {
            Side::Proxy => &mut self.proxy,
            Side::Server => &mut self.server,
        };
        end.readable |=
            flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        end.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
    }

    /// Its forwarder's mode changed, or it is new.
    pub(super) fn enter(&mut self, mode: Mode, rng: &mut Rng) {
        let half_closed = self.cut == Some((0, Ending::Half));
        self.cut = match mode {
            Mode::Cut(ending) => Some((1 + rng.below(CUT_WITHIN_BYTES) as usize, ending)),
            _ if half_closed => self.cut,
            _ => None,
        };
    }

    /// Whether something waits for its time, or for the mode to change.
    pub(super) fn waits(&self) -> bool {
        !self.requests.queue.is_empty() || !self.replies.queue.is_empty()
    }

    /// Moves what may be moved.
    pub(super) fn pump(&mut self, mode: Mode, now: Instant, rng: &mut Rng, buffer: &mut [u8]) -> Fate {
        let mut moved = || -> std::io::Result<Fate> {
            if mode == Mode::Hold {
                return Ok(Fate::Lives);
            }
            self.requests.fill(&mut self.proxy, mode, now, rng, buffer)?;
            self.requests.drain(&mut self.server, now, usize::MAX)?;
            self.requests.end(&self.proxy, &self.server);
            if mode == Mode::HoldReplies {
                return Ok(Fate::Lives);
            }
            self.replies.fill(&mut self.server, mode, now, rng, buffer)?;
            let Some((left, ending)) = &mut self.cut else {
                self.replies.drain(&mut self.proxy, now, usize::MAX)?;
                self.replies.end(&self.server, &self.proxy);
                return Ok(Fate::Lives);
            };
            *left -= self.replies.drain(&mut self.proxy, now, *left)?;
            if *left > 0 {
                self.replies.end(&self.server, &self.proxy);
                return Ok(Fate::Lives);
            }
            match ending {
                Ending::Close => Ok(Fate::Closed),
                Ending::Reset => Ok(Fate::Reset),
                Ending::Half => {
                    self.replies.queue.clear();
                    self.replies.bytes = 0;
                    if !self.replies.shut {
                        self.replies.shut = true;
                        self.proxy.socket.shutdown(Shutdown::Write)?;
                    }
                    Ok(Fate::Lives)
                }
            }
        };
        match moved() {
            Ok(Fate::Lives) if self.requests.shut && self.replies.shut => Fate::Closed,
            Ok(fate) => fate,
            Err(_) => Fate::Reset,
        }
    }
}

impl Pipe {
    /// Reads what has arrived and gives it its time.
    fn fill(
        &mut self,
        from: &mut End,
        mode: Mode,
        now: Instant,
        rng: &mut Rng,
        buffer: &mut [u8],
    ) -> std::io::Result<()> {
        while from.readable && !from.over && self.bytes < HELD_BYTES_MAX {
            match from.socket.read(buffer) {
                Ok(0) => from.over = true,
                Ok(count) => self.push(&buffer[..count], mode, now, rng),
                Err(error) if error.kind() == ErrorKind::WouldBlock => from.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8], mode: Mode, now: Instant, rng: &mut Rng) {
        self.bytes += bytes.len();
        // Nothing overtakes anything.
        let earliest = self.queue.back().map_or(now, |(at, _)| now.max(*at));
        match mode {
            Mode::Delay(least, most) => {
                let more = rng.below((most - least).as_micros() as u32 + 1);
                let at = now + least + Duration::from_micros(more.into());
                self.queue.push_back((earliest.max(at), bytes.to_vec()));
            }
            Mode::Pieces => {
                let (mut rest, mut at) = (bytes, earliest);
                while !rest.is_empty() {
                    let few = self.queue.len() < PIECES_MAX;
                    let size =
                        if few { 1 + rng.below(rest.len().min(300) as u32) as usize } else { rest.len() };
                    let (piece, others) = rest.split_at(size);
                    self.queue.push_back((at, piece.to_vec()));
                    at += Duration::from_millis(1);
                    rest = others;
                }
            }
            _ => self.queue.push_back((earliest, bytes.to_vec())),
        }
    }

    /// Writes what is due, at most `limit` bytes, and says how many.
    fn drain(&mut self, to: &mut End, now: Instant, limit: usize) -> std::io::Result<usize> {
        let mut total = 0;
        while to.writable && total < limit {
            let Some((_, bytes)) = self.queue.front_mut().filter(|(at, _)| *at <= now) else { break };
            let part = bytes.len().min(limit - total);
            match to.socket.write(&bytes[..part]) {
                Ok(count) => {
                    bytes.drain(..count);
                    if bytes.is_empty() {
                        self.queue.pop_front();
                    }
                    self.bytes -= count;
                    total += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => to.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Passes the end on when all before it is through.
    fn end(&mut self, from: &End, to: &End) {
        if from.over && self.queue.is_empty() && !self.shut {
            self.shut = true;
            // The other end may be gone already, which is no less of an end.
            let _ = to.socket.shutdown(Shutdown::Write);
        }
    }
}

/// A cut connection ends within so many bytes of replies: often in the middle of one.
const CUT_WITHIN_BYTES: u32 = 6_000;
/// What may wait in a direction before no more is read.
const HELD_BYTES_MAX: usize = 1 << 20;
/// Pieces that may wait: more would take longer than clients wait.
const PIECES_MAX: usize = 20;
