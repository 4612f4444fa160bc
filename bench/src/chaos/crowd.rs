//! The clients: one thread, one epoll. Each sends a batch, waits for its replies, pauses for a moment and goes on,
//! whatever happens; whose connection is closed connects again.

use crate::chaos::ask::{Ask, Keys};
use crate::chaos::ledger::{Judgement, Ledger};
use crate::chaos::reply::{self, Stop};
use crate::chaos::tally::Tally;
use crate::chaos::{POOLS, Seat};
use crate::data::Rng;
use anyhow::{Context as _, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What clients share with whoever makes the faults.
#[derive(Debug)]
pub(crate) struct Book {
    /// What is right.
    pub(crate) ledger: Ledger,
    /// What is asked for.
    pub(crate) keys: Keys,
    /// What came of it, per pool.
    pub(crate) tallies: Vec<Tally>,
}

/// Clients at work; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Crowd {
    book: Arc<Mutex<Book>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Starts the clients; `addresses[pool]` is where a pool listens.
    ///
    /// # Errors
    /// When there is no epoll to be had.
    pub(crate) fn start(book: Book, seats: &[Seat], addresses: &[SocketAddr], seed: u64) -> Result<Self> {
        let now = Instant::now();
        let mut rng = Rng::new(seed);
        let mut room = Room {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: seats
                .iter()
                .map(|&seat| Client::new(seat, addresses[seat.pool], rng.next(), now))
                .collect(),
            buffer: vec![0; RECEIVE_BYTES],
        };
        let book = Arc::new(Mutex::new(book));
        let end = Arc::new(AtomicBool::new(false));
        let (of_thread, ends) = (Arc::clone(&book), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            if let Err(error) = room.run(&of_thread, &ends) {
                eprintln!("bench: the clients stopped: {error:#}");
            }
        });
        Ok(Self { book, end, thread: Some(thread) })
    }

    /// Holds the clients still for a look or a change.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they are still at it.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        // One that panicked has said so on stderr.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Room {
    epoll: OwnedFd,
    clients: Vec<Client>,
    buffer: Vec<u8>,
}

struct Client {
    seat: Seat,
    target: SocketAddr,
    rng: Rng,
    socket: Option<TcpStream>,
    out: Vec<u8>,
    sent: usize,
    asks: VecDeque<Ask>,
    input: Vec<u8>,
    /// When the batch went out, or when the next one may.
    at: Instant,
}

impl Room {
    fn run(&mut self, book: &Mutex<Book>, end: &AtomicBool) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        while !end.load(Ordering::Relaxed) {
            self.wait(&mut events)?;
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events.drain(..) {
                let client = &mut self.clients[event.data.u64() as usize];
                client.flush(&mut book);
                client.receive(&mut book, &mut self.buffer);
            }
            let now = Instant::now();
            for number in 0..self.clients.len() {
                self.act(number, &mut book, now)?;
            }
        }
        Ok(())
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        let now = Instant::now();
        let waits = self.clients.iter().map(|client| client.due().saturating_duration_since(now));
        let wait = waits.min().unwrap_or(LOOK_EVERY).clamp(Duration::from_millis(1), LOOK_EVERY);
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for sockets"),
        }
    }

    /// Does what is due for a client by the clock.
    fn act(&mut self, number: usize, book: &mut Book, now: Instant) -> Result<()> {
        let client = &mut self.clients[number];
        if now < client.due() {
            return Ok(());
        }
        if !client.asks.is_empty() {
            book.tallies[client.seat.pool].hung(now);
            client.close(book);
            return Ok(());
        }
        if client.socket.is_none() {
            match client.connect() {
                Ok(socket) => {
                    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                    epoll::add(&self.epoll, &socket, EventData::new_u64(number as u64), flags)?;
                    client.socket = Some(socket);
                }
                Err(error) => {
                    book.tallies[client.seat.pool].error(&format!("(connect) {:?}", error.kind()), now);
                    client.at = now + CONNECT_AGAIN;
                    return Ok(());
                }
            }
        }
        client.fill(number, book, now);
        client.flush(book);
        Ok(())
    }
}

impl Client {
    fn new(seat: Seat, target: SocketAddr, seed: u64, now: Instant) -> Self {
        Self {
            seat,
            target,
            rng: Rng::new(seed),
            socket: None,
            out: Vec::new(),
            sent: 0,
            asks: VecDeque::new(),
            input: Vec::new(),
            at: now,
        }
    }

    /// When something has to be done without the socket having asked for it.
    fn due(&self) -> Instant {
        if self.asks.is_empty() { self.at } else { self.at + HUNG }
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(self.target)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn fill(&mut self, number: usize, book: &mut Book, now: Instant) {
        self.out.clear();
        self.sent = 0;
        for _ in 0..=self.rng.below(self.seat.depth) {
            let Book { ledger, keys, .. } = &mut *book;
            self.asks.extend(keys.draw(number, self.seat, ledger, &mut self.rng, &mut self.out));
        }
        self.at = now;
    }

    fn flush(&mut self, book: &mut Book) {
        while self.sent < self.out.len() {
            let Some(socket) = &mut self.socket else { return };
            match socket.write(&self.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.was_closed(book),
            }
        }
    }

    fn receive(&mut self, book: &mut Book, buffer: &mut [u8]) {
        while let Some(socket) = &mut self.socket {
            match socket.read(buffer) {
                Ok(0) => return self.was_closed(book),
                Ok(count) => {
                    self.input.extend_from_slice(&buffer[..count]);
                    self.read_replies(book);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.was_closed(book),
            }
        }
    }

    fn read_replies(&mut self, book: &mut Book) {
        let Book { ledger, tallies, .. } = &mut *book;
        let (now, tally) = (Instant::now(), &mut tallies[self.seat.pool]);
        let mut read = 0;
        while read < self.input.len() {
            let (reply, length) = match reply::read(POOLS[self.seat.pool].protocol, &self.input[read..]) {
                Ok(found) => found,
                Err(Stop::Partial) => break,
                Err(Stop::Malformed(what)) => {
                    tally.wrong(what);
                    return self.close(book);
                }
            };
            let Some(ask) = self.asks.pop_front() else {
                tally.wrong(format!("a reply that nobody asked for: {reply:?}"));
                return self.close(book);
            };
            let (servers, served) = (ask.servers(ledger), ask.served(&reply, ledger));
            match ledger.judge(&ask, &reply) {
                Judgement::Right => tally.right(served, now),
                Judgement::Failed(text) => tally.failed(servers, &text, now),
                Judgement::Suspect(server, what) => {
                    tally.right(served, now);
                    tally.suspect(server, what);
                }
                Judgement::Wrong(what) => {
                    tally.wrong(what);
                    self.asks.push_front(ask);
                    return self.close(book);
                }
            }
            read += length;
        }
        self.input.drain(..read);
        if self.asks.is_empty() {
            self.at = now + PAUSE_MIN + Duration::from_millis(self.rng.below(PAUSE_MORE_MS).into());
        }
    }

    fn was_closed(&mut self, book: &mut Book) {
        book.tallies[self.seat.pool].closed(Instant::now());
        self.close(book);
    }

    fn close(&mut self, book: &mut Book) {
        self.socket = None;
        self.asks.drain(..).for_each(|ask| book.ledger.leave_in_doubt(&ask));
        self.out.clear();
        self.sent = 0;
        self.input.clear();
        self.at = Instant::now() + CONNECT_AGAIN;
    }
}

/// Several times the pools' timeout: who waits longer is not answered any more.
pub(crate) const HUNG: Duration = Duration::from_secs(4);
/// Between a reply and the next batch: long enough that load stays steady, short enough to see short gaps.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MORE_MS: u32 = 20;
const CONNECT_AGAIN: Duration = Duration::from_millis(20);
/// How soon the end is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const RECEIVE_BYTES: usize = 64 * 1024;
