//! A network that can be broken without privileges: a forwarder in front of every server, all in one thread.
//!
//! ```text
//!   proxy ──→ forwarder ──→ server        requests
//!         ←──           ←──               replies: held, delayed, cut, split, as the mode says
//! ```

mod link;

use crate::data::Rng;
use anyhow::{Context as _, Result};
use link::{Fate, Link, Side};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket, socket_with};
use rustix::time::Timespec;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a forwarder does with what passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Lets it pass.
    Pass,
    /// Lets nothing pass in either direction; what was held goes on afterwards, as lost packets do.
    Hold,
    /// Lets requests pass and holds replies.
    HoldReplies,
    /// Everything takes longer, by a time between these.
    Delay(Duration, Duration),
    /// Everything comes in pieces, each a moment after the other.
    Pieces,
    /// Every connection ends so, somewhere within the next bytes of replies.
    Cut(Ending),
    /// Nobody listens, and connections are reset.
    Refuse,
    /// Connections are closed, new ones at once, as by a balancer that has no server left.
    TurnAway,
    /// Connections are reset, and attempts to connect are not even answered.
    Unreachable,
}

/// How a cut connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    /// Closed in order.
    Close,
    /// Reset.
    Reset,
    /// Half-closed: requests are still taken, but no more replies come.
    Half,
}

/// All forwarders; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Network {
    /// Where each listens.
    pub(crate) addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Vec<(usize, Order)>>,
    end: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Mode(Mode),
    Reset,
}

impl Network {
    /// Starts a forwarder in front of each of `servers`, listening on the port beside it.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub(crate) fn start(servers: &[(SocketAddr, u16)], seed: u64) -> Result<Self> {
        let shared = Arc::new(Shared { orders: Mutex::default(), end: AtomicBool::new(false) });
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut forwarders = Vec::new();
        for (number, &(server, port)) in servers.iter().enumerate() {
            let mut forwarder = Forwarder {
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                server,
                door: Door::Shut,
                mode: Mode::Pass,
            };
            forwarder.open(&epoll, number).with_context(|| format!("listening on port {port}"))?;
            forwarders.push(forwarder);
        }
        let addresses = forwarders.iter().map(|it| it.address).collect();
        let mut hub = Hub {
            shared: Arc::clone(&shared),
            epoll,
            forwarders,
            links: Vec::new(),
            rng: Rng::new(seed),
            buffer: vec![0; 64 * 1024],
        };
        let thread = std::thread::spawn(move || {
            if let Err(error) = hub.run() {
                eprintln!("bench: the network stopped: {error:#}");
            }
        });
        Ok(Self { addresses, shared, thread: Some(thread) })
    }

    /// Sets what a forwarder does from now on.
    pub(crate) fn set(&self, forwarder: usize, mode: Mode) {
        self.order(forwarder, Order::Mode(mode));
    }

    /// Resets all connections of a forwarder.
    pub(crate) fn reset(&self, forwarder: usize) {
        self.order(forwarder, Order::Reset);
    }

    fn order(&self, forwarder: usize, order: Order) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).push((forwarder, order));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        // One that panicked has said so on stderr.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Forwarder {
    address: SocketAddr,
    server: SocketAddr,
    door: Door,
    mode: Mode,
}

/// Where connections come in.
enum Door {
    Open(TcpListener),
    Shut,
    /// Its short queue is full with these, so that the kernel drops whoever else wants in.
    Walled(
        #[allow(dead_code, reason = "held open")] OwnedFd,
        #[allow(dead_code, reason = "held open")] Vec<OwnedFd>,
    ),
}

impl Forwarder {
    fn open(&mut self, epoll: &OwnedFd, number: usize) -> Result<()> {
        self.door = Door::Shut;
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        epoll::add(epoll, &listener, EventData::new_u64(DOORS + number as u64), EventFlags::IN)?;
        self.door = Door::Open(listener);
        Ok(())
    }

    fn wall_up(&mut self) -> Result<()> {
        self.door = Door::Shut;
        let wall = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&wall, true)?;
        bind(&wall, &self.address)?;
        listen(&wall, 0)?;
        let mut crowd = Vec::new();
        // A queue of 0 still holds one; who comes after it gets no answer, and is not waited for.
        for _ in 0..3 {
            let one = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
            match connect(&one, &self.address) {
                Ok(()) | Err(Errno::INPROGRESS) => crowd.push(one),
                Err(error) => return Err(error).context("connecting to a full queue"),
            }
        }
        self.door = Door::Walled(wall, crowd);
        Ok(())
    }
}

struct Hub {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    forwarders: Vec<Forwarder>,
    links: Vec<Option<Link>>,
    rng: Rng,
    buffer: Vec<u8>,
}

impl Hub {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        while !self.shared.end.load(Ordering::Relaxed) {
            let orders =
                std::mem::take(&mut *self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner));
            orders.into_iter().for_each(|(forwarder, order)| self.obey(forwarder, order));
            self.open_doors();
            self.wait(&mut events)?;
            for event in events.drain(..) {
                match event.data.u64() {
                    door if door >= DOORS => self.accept((door - DOORS) as usize)?,
                    at => {
                        let (link, side) =
                            (at as usize / 2, if at % 2 == 0 { Side::Proxy } else { Side::Server });
                        if let Some(link) = self.links.get_mut(link).and_then(Option::as_mut) {
                            link.ready(side, event.flags);
                        }
                        self.pump(link);
                    }
                }
            }
            for at in 0..self.links.len() {
                if self.links[at].as_ref().is_some_and(Link::waits) {
                    self.pump(at);
                }
            }
        }
        Ok(())
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        // Anything that waits for its time is looked at soon; orders come seldom.
        let soon = self.links.iter().flatten().any(Link::waits);
        let wait = Timespec { tv_sec: 0, tv_nsec: if soon { 1_000_000 } else { 5_000_000 } };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for sockets"),
        }
    }

    fn obey(&mut self, number: usize, order: Order) {
        let Order::Mode(mode) = order else { return self.reset_all(number) };
        self.forwarders[number].mode = mode;
        if mode == Mode::TurnAway {
            self.links.iter_mut().for_each(|slot| drop(slot.take_if(|link| link.forwarder == number)));
        }
        let forwarder = &mut self.forwarders[number];
        if matches!(mode, Mode::Refuse | Mode::Unreachable) {
            forwarder.door = Door::Shut;
            if mode == Mode::Unreachable
                && let Err(error) = forwarder.wall_up()
            {
                eprintln!("bench: {} cannot be made unreachable: {error:#}", forwarder.address);
            }
            self.reset_all(number);
        }
        for at in 0..self.links.len() {
            if let Some(link) = self.links[at].as_mut().filter(|link| link.forwarder == number) {
                link.enter(mode, &mut self.rng);
                self.pump(at);
            }
        }
    }

    /// Doors that should be open and are not; a port may still be held for a moment.
    fn open_doors(&mut self) {
        for (number, forwarder) in self.forwarders.iter_mut().enumerate() {
            let shut = matches!(forwarder.mode, Mode::Refuse | Mode::Unreachable);
            if !shut && !matches!(forwarder.door, Door::Open(_)) {
                // It is tried again in the next round.
                let _ = forwarder.open(&self.epoll, number);
            }
        }
    }

    fn reset_all(&mut self, number: usize) {
        for slot in &mut self.links {
            if let Some(link) = slot.take_if(|link| link.forwarder == number) {
                reset(link);
            }
        }
    }

    fn accept(&mut self, number: usize) -> Result<()> {
        let forwarder = &self.forwarders[number];
        let Door::Open(listener) = &forwarder.door else { return Ok(()) };
        // Whoever left again before being accepted is not there.
        let Ok((proxy, _)) = listener.accept() else { return Ok(()) };
        if forwarder.mode == Mode::TurnAway {
            return Ok(());
        }
        let Ok(server) = TcpStream::connect(forwarder.server) else {
            set_socket_linger(&proxy, Some(Duration::ZERO))?;
            return Ok(());
        };
        let mut link = Link::new(number, proxy, server)?;
        link.enter(forwarder.mode, &mut self.rng);
        let at = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &link.proxy.socket, EventData::new_u64(at as u64 * 2), flags)?;
        epoll::add(&self.epoll, &link.server.socket, EventData::new_u64(at as u64 * 2 + 1), flags)?;
        if at == self.links.len() {
            self.links.push(Some(link));
        } else {
            self.links[at] = Some(link);
        }
        Ok(())
    }

    fn pump(&mut self, at: usize) {
        let Some(link) = self.links.get_mut(at).and_then(Option::as_mut) else { return };
        let mode = self.forwarders[link.forwarder].mode;
        let fate = link.pump(mode, Instant::now(), &mut self.rng, &mut self.buffer);
        match fate {
            Fate::Lives => {}
            Fate::Closed => self.links[at] = None,
            Fate::Reset => self.links[at].take().into_iter().for_each(reset),
        }
    }
}

fn reset(link: Link) {
    for side in [&link.proxy, &link.server] {
        // It is being thrown away either way.
        let _ = set_socket_linger(&side.socket, Some(Duration::ZERO));
    }
}

/// Events of listening sockets are numbered from here, those of links from 0.
const DOORS: u64 = 1 << 32;

#[cfg(test)]
mod tests;
