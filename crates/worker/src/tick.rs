//! The loop: wait, read, act, write.

use crate::gate::Gate;
use crate::handle::{Handle, Message, Notice, Notify};
use crate::linger::Lingering;
use crate::link::Link;
use crate::listen::{Accepted, Acceptor, Listener, spare};
use crate::sockets::{Kind, MAILBOX, Table, parse, plain_token, token};
use crate::transport::Transport;
use config::Address;
use engine::client::Client;
use engine::error::Cause;
use engine::id::{ClientId, ConnId};
use engine::server_conn::ServerConn;
use engine::topology::Topology;
use engine::{Closing, Core, Input, Now, Output, Process};
use reactor::net::{self, Peer, Progress, SockAddr};
use reactor::{Event, Events, Interest, Reactor};
use stats::{PoolMetric, Shard, Text, WorkerMetric};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// So many ready connections are served per tick; the others come first in the next.
const EVENTS_PER_TICK: usize = 1024;

/// Out of descriptors, a listener is left alone for so long.
const LISTENER_REST: Duration = Duration::from_millis(100);

/// What a worker is made from.
pub struct Setup {
    /// Its number, from 0.
    pub index: usize,
    /// What it routes by at first.
    pub topology: Arc<Topology>,
    /// Its counters.
    pub shard: Arc<Shard>,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Where it accepts clients.
    pub listeners: Vec<Listener>,
    /// Limits of clients.
    pub gate: Arc<Gate>,
    /// The mailboxes of all workers, its own among them.
    pub workers: Vec<Handle>,
    /// How it tells the control plane.
    pub notify: Notify,
    /// Bytes read from a connection at once: the size of the one buffer that all share.
    pub read_bytes: usize,
    /// The origin of [`Now::mono_us`].
    pub epoch: Instant,
    /// Feeds the `random` distribution.
    pub seed: u64,
}

/// One data-plane thread's state.
pub struct Worker {
    reactor: Reactor,
    core: Core,
    topology: Arc<Topology>,
    shard: Arc<Shard>,
    process: Arc<Process>,
    clients: Table<Client, ClientSocket>,
    conns: Table<ServerConn, ConnSocket>,
    acceptor: Acceptor,
    lingering: Lingering,
    /// Listeners that are not watched for a moment, and until when.
    resting: Vec<(Instant, usize)>,
    handle: Handle,
    notify: Notify,
    buffer: Box<[u8]>,
    epoch: Instant,
    /// Once stopping: when to end at the latest.
    stop_at: Option<Instant>,
}

struct ClientSocket {
    link: Link,
    pool: usize,
    /// Nothing more will come: its end was read.
    ended: bool,
}

enum ConnSocket {
    /// Not decided yet; these addresses are tried next.
    Connecting(Link, VecDeque<SockAddr>),
    Up(Link),
}

impl Worker {
    /// A worker ready to run. Fails when the process is out of descriptors.
    pub fn new(setup: Setup) -> io::Result<Worker> {
        let reactor = Reactor::new()?;
        let handle = setup.workers[setup.index].clone();
        reactor.add(handle.waker(), plain_token(Kind::Special, MAILBOX), Interest::READABLE)?;
        for (index, listener) in setup.listeners.iter().enumerate() {
            reactor.add_listener(&*listener.socket, plain_token(Kind::Listener, index as u32))?;
        }
        let core = Core::new(setup.process.clone(), setup.topology.clone(), setup.shard.clone(), setup.seed);
        Ok(Worker {
            reactor,
            core,
            topology: setup.topology,
            shard: setup.shard,
            process: setup.process,
            clients: Table::default(),
            conns: Table::default(),
            acceptor: Acceptor {
                listeners: setup.listeners,
                gate: setup.gate,
                workers: setup.workers,
                here: setup.index,
                spare: spare(),
            },
            lingering: Lingering::default(),
            resting: Vec::new(),
            handle,
            notify: setup.notify,
            buffer: vec![0; setup.read_bytes].into_boxed_slice(),
            epoch: setup.epoch,
            stop_at: None,
        })
    }

    /// Runs until stopped. Fails only when the kernel refuses to wait.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TICK);
        while !self.is_done() {
            self.reactor.wait(&mut events, self.patience())?;
            self.shard.worker(WorkerMetric::Ticks).add(1);
            self.core.tick(self.now());
            for event in events.iter() {
                self.take(event);
            }
            self.core.expire();
            while let Some(output) = self.core.next_output() {
                self.act(output);
            }
            if !self.resting.is_empty() {
                self.wake_listeners();
            }
            if self.lingering.pause().is_some() {
                self.lingering.look(Instant::now(), &mut self.buffer);
            }
        }
        self.part();
        (self.notify)(Notice::Ended { worker: self.acceptor.here });
        Ok(())
    }

    fn now(&self) -> Now {
        // A clock before 1970 makes TIME wrong and nothing else.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_us: self.epoch.elapsed().as_micros() as u64, unix_us: unix.as_micros() as u64 }
    }

    /// How long to wait for events at most.
    fn patience(&self) -> Option<Duration> {
        let now_us = self.epoch.elapsed().as_micros() as u64;
        let deadline = self.core.next_deadline().map(|at| Duration::from_micros(at.saturating_sub(now_us)));
        let stop = self.stop_at.map(|at| at.saturating_duration_since(Instant::now()));
        let rest = self.resting.first().map(|(until, _)| until.saturating_duration_since(Instant::now()));
        [deadline, stop, rest, self.lingering.pause()].into_iter().flatten().min()
    }

    fn take(&mut self, event: Event) {
        let (kind, generation, index) = parse(event.token);
        match kind {
            Kind::Client => {
                if let Some(id) = self.clients.find(generation, index) {
                    self.client_ready(id, event);
                }
            }
            Kind::Conn => {
                if let Some(id) = self.conns.find(generation, index) {
                    self.conn_ready(id, event);
                }
            }
            Kind::Listener => self.accept(index as usize),
            Kind::Special => {
                self.shard.worker(WorkerMetric::Wakeups).add(1);
                for message in self.handle.take() {
                    self.read_message(message);
                }
            }
        }
    }

    // ---- clients

    fn accept(&mut self, index: usize) {
        let mut accepted = Vec::new();
        self.acceptor.accept(index, |found| accepted.push(found));
        for found in accepted {
            match found {
                Accepted::Here(socket, pool, peer) => self.open_client(socket, pool, peer),
                Accepted::Refused(socket, pool, peer, limit) => {
                    self.lingering.add(Transport::Plain(socket), Instant::now());
                    self.shard.pool(pool, PoolMetric::ClientRefused).add(1);
                    let event = stats::Event::ClientRefused { pool: pool as u32, client: peer.inet(), limit };
                    self.process.events.push(event);
                }
                Accepted::Exhausted(pool, error) => {
                    self.rest_listener(index);
                    self.shard.pool(pool, PoolMetric::ClientRefused).add(1);
                    let error = Text::format(format_args!("{error}"));
                    self.process.events.push(stats::Event::AcceptFailed { pool: pool as u32, error });
                }
            }
        }
    }

    /// Stops watching a listener for a moment: level-triggered, it would wake the worker again at once.
    fn rest_listener(&mut self, index: usize) {
        if let Some(listener) = self.acceptor.listeners.get(index)
            && self.reactor.remove(&*listener.socket).is_ok()
        {
            self.resting.push((Instant::now() + LISTENER_REST, index));
        }
    }

    fn wake_listeners(&mut self) {
        let now = Instant::now();
        while let Some((_, index)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.resting.remove(0);
            if let Some(listener) = self.acceptor.listeners.get(index) {
                // Out of memory for the watch: it is tried again a little later.
                let token = plain_token(Kind::Listener, index as u32);
                if self.reactor.add_listener(&*listener.socket, token).is_err() {
                    self.resting.push((now + LISTENER_REST, index));
                    return;
                }
            }
        }
    }

    fn open_client(&mut self, socket: OwnedFd, pool: usize, peer: Peer) {
        let id = self.core.open_client(pool as u32, peer.inet());
        let link =
            Link::new(&self.reactor, Transport::Plain(socket), token(Kind::Client, id), Interest::READABLE);
        match link {
            Ok(link) => {
                let client = ClientSocket { link, pool, ended: false };
                if let Some(old) = self.clients.insert(id, client) {
                    self.forget_client(old);
                }
            }
            // The kernel has no memory for one more watch.
            Err(_) => {
                self.acceptor.gate.leave(pool, self.acceptor.here);
                self.core.handle(Input::ClientLost(id));
            }
        }
    }

    fn client_ready(&mut self, id: ClientId, event: Event) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.link.reads() && (event.readable || event.closed) {
            match client.link.transport.recv(&mut self.buffer) {
                Ok(Some(0)) => {
                    client.ended = true;
                    client.link.want_read(&self.reactor, false);
                    self.core.handle(Input::ClientEnd(id));
                }
                Ok(Some(count)) => self.core.handle(Input::ClientData(id, &self.buffer[..count])),
                Ok(None) => {}
                Err(_) => return self.core.handle(Input::ClientLost(id)),
            }
        } else if event.closed {
            return self.core.handle(Input::ClientLost(id));
        }
        if event.writable {
            self.write_client(id);
        }
    }

    fn write_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        loop {
            let bytes = self.core.client_output(id);
            if bytes.is_empty() {
                return client.link.want_write(&self.reactor, false);
            }
            let length = bytes.len();
            match client.link.transport.send(bytes) {
                Ok(Some(count)) => {
                    self.core.handle(Input::ClientWritten(id, count));
                    if count < length {
                        return client.link.want_write(&self.reactor, true);
                    }
                }
                Ok(None) => return client.link.want_write(&self.reactor, true),
                Err(_) => return self.core.handle(Input::ClientLost(id)),
            }
        }
    }

    fn close_client(&mut self, id: ClientId, closing: Closing) {
        let Some(client) = self.clients.remove(id) else { return };
        let ended = client.ended;
        let transport = self.forget_client(client);
        if closing == Closing::Linger && !ended {
            self.lingering.add(transport, Instant::now());
        }
    }

    fn forget_client(&mut self, client: ClientSocket) -> Transport {
        self.acceptor.gate.leave(client.pool, self.acceptor.here);
        client.link.release(&self.reactor)
    }

    // ---- servers

    fn connect(&mut self, conn: ConnId, pool: u32, server: u32) {
        let address = match &self.topology.pools[pool as usize].servers[server as usize].address {
            Address::Ip(address) => SockAddr::Inet(*address),
            Address::Unix(path) => SockAddr::Unix(path.clone()),
            Address::Name { host, port } => {
                let worker = self.acceptor.here;
                return (self.notify)(Notice::Resolve { worker, conn, host: host.clone(), port: *port });
            }
        };
        self.connect_to(conn, VecDeque::from([address]), Cause::HostDown);
    }

    /// Connects to the first of `addresses` that takes it; when none does, or none is left, the connection is lost.
    fn connect_to(&mut self, conn: ConnId, mut addresses: VecDeque<SockAddr>, mut why: Cause) {
        let (address, socket, progress) = loop {
            let Some(address) = addresses.pop_front() else {
                return self.core.handle(Input::ConnLost(conn, why));
            };
            match net::connect(&address) {
                Ok((socket, progress)) => break (address, socket, progress),
                Err(error) => why = cause(&error),
            }
        };
        if let SockAddr::Inet(_) = address {
            // Fails only on a socket that is gone, which the first read tells.
            _ = net::set_nodelay(&socket);
        }
        let up = progress == Progress::Connected;
        let interest = if up { Interest::READABLE } else { Interest::WRITABLE };
        match Link::new(&self.reactor, Transport::Plain(socket), token(Kind::Conn, conn), interest) {
            Ok(link) => {
                let socket = if up { ConnSocket::Up(link) } else { ConnSocket::Connecting(link, addresses) };
                if let Some(old) = self.conns.insert(conn, socket) {
                    old.release(&self.reactor);
                }
                if up {
                    self.core.handle(Input::ConnUp(conn));
                }
            }
            Err(error) => self.core.handle(Input::ConnLost(conn, cause(&error))),
        }
    }

    fn conn_ready(&mut self, id: ConnId, event: Event) {
        match self.conns.get_mut(id) {
            None => {}
            Some(ConnSocket::Connecting(..)) => self.conn_decided(id),
            Some(ConnSocket::Up(link)) => {
                if event.readable || event.closed {
                    match link.transport.recv(&mut self.buffer) {
                        Ok(Some(0)) => return self.core.handle(Input::ConnLost(id, Cause::Closed)),
                        Ok(Some(count)) => self.core.handle(Input::ConnData(id, &self.buffer[..count])),
                        Ok(None) => {}
                        Err(error) => return self.core.handle(Input::ConnLost(id, cause(&error))),
                    }
                }
                if event.writable {
                    self.write_conn(id);
                }
            }
        }
    }

    fn conn_decided(&mut self, id: ConnId) {
        let Some(ConnSocket::Connecting(mut link, next)) = self.conns.remove(id) else { return };
        match net::connect_error(&link.transport) {
            Ok(()) => {
                link.want_read(&self.reactor, true);
                link.want_write(&self.reactor, false);
                self.conns.insert(id, ConnSocket::Up(link));
                self.core.handle(Input::ConnUp(id));
            }
            Err(error) => {
                link.release(&self.reactor);
                self.connect_to(id, next, cause(&error));
            }
        }
    }

    fn write_conn(&mut self, id: ConnId) {
        let Some(ConnSocket::Up(link)) = self.conns.get_mut(id) else { return };
        loop {
            let bytes = self.core.conn_output(id);
            if bytes.is_empty() {
                return link.want_write(&self.reactor, false);
            }
            let length = bytes.len();
            match link.transport.send(bytes) {
                Ok(Some(count)) => {
                    self.core.handle(Input::ConnWritten(id, count));
                    if count < length {
                        return link.want_write(&self.reactor, true);
                    }
                }
                Ok(None) => return link.want_write(&self.reactor, true),
                Err(error) => return self.core.handle(Input::ConnLost(id, cause(&error))),
            }
        }
    }

    // ---- what is to be done

    fn act(&mut self, output: Output) {
        match output {
            Output::WriteClient(id) => self.write_client(id),
            Output::WriteConn(id) => self.write_conn(id),
            Output::Connect { conn, pool, server } => self.connect(conn, pool, server),
            Output::CloseConn(id) => {
                if let Some(socket) = self.conns.remove(id) {
                    socket.release(&self.reactor);
                }
            }
            Output::CloseClient(id, closing) => self.close_client(id, closing),
            Output::PauseClient(id) => self.read_client(id, false),
            Output::ResumeClient(id) => self.read_client(id, true),
            Output::ServerFailed { pool, server, cause, down } => {
                (self.notify)(Notice::ServerFailed { pool, server, cause, down });
            }
            Output::ServerAnswered { pool, server } => {
                (self.notify)(Notice::ServerAnswered { pool, server });
            }
        }
    }

    fn read_client(&mut self, id: ClientId, readable: bool) {
        let stopping = self.stop_at.is_some();
        if let Some(client) = self.clients.get_mut(id)
            && !client.ended
        {
            client.link.want_read(&self.reactor, readable && !stopping);
        }
    }

    fn read_message(&mut self, message: Message) {
        match message {
            Message::Client { socket, pool, peer } if self.stop_at.is_none() => {
                self.open_client(socket, pool, peer);
            }
            Message::Client { pool, .. } => self.acceptor.gate.leave(pool, self.acceptor.here),
            Message::Resolved { conn, .. } if !self.core.wants_conn(conn) => {}
            Message::Resolved { conn, addresses } => self.connect_to(conn, addresses, Cause::HostDown),
            Message::Topology(topology) => {
                self.topology = topology.clone();
                self.core.handle(Input::Topology(topology));
            }
            Message::Server { pool, server, down } => {
                self.core.handle(Input::Server { pool, server, down });
            }
            Message::Preconnect => self.core.handle(Input::Preconnect),
            Message::Stop(within) => self.stop(within),
        }
    }

    // ---- the end

    fn stop(&mut self, within: Duration) {
        self.stop_at = Some(Instant::now() + within);
        for listener in self.acceptor.listeners.drain(..) {
            // Other workers share it; for this one it is over.
            _ = self.reactor.remove(&*listener.socket);
        }
        for (_, client) in self.clients.iter_mut() {
            client.link.want_read(&self.reactor, false);
        }
    }

    /// Ends all clients' connections so that replies on their way still arrive: a close with unread bytes would make
    /// the kernel throw them away.
    fn part(&mut self) {
        for (_, client) in self.clients.iter_mut() {
            client.link.transport.shutdown();
            while let Ok(Some(1..)) = client.link.transport.recv(&mut self.buffer) {}
        }
    }

    fn is_done(&self) -> bool {
        self.stop_at.is_some_and(|at| self.core.is_idle() || Instant::now() >= at)
    }
}

impl ConnSocket {
    fn release(self, reactor: &Reactor) {
        let (ConnSocket::Connecting(link, _) | ConnSocket::Up(link)) = self;
        link.release(reactor);
    }
}

/// What a system call's error means for a request.
fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            Cause::Refused
        }
        io::ErrorKind::TimedOut => Cause::TimedOut,
        io::ErrorKind::BrokenPipe => Cause::BrokenPipe,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Cause::Unreachable,
        _ => Cause::Reset,
    }
}
