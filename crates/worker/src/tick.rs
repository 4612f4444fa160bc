//! The loop: wait, read, act, write.

use crate::clients::ClientSocket;
use crate::clock::Clock;
use crate::gate::Gate;
use crate::handle::{Handle, Message, Notice, Notify};
use crate::held::Held;
use crate::linger::Lingering;
use crate::listen::{Acceptor, Listener, spare};
use crate::net::Net;
use crate::ringed::{Ringed, Stream};
use crate::servers::ConnSocket;
use crate::sockets::{Kind, MAILBOX, Table, parse, plain_token};
use config::Io;
use engine::client::Client;
use engine::error::Cause;
use engine::id::ConnId;
use engine::server_conn::ServerConn;
use engine::survey::SurveyId;
use engine::topology::Topology;
use engine::{Core, Input, Output, Process};
use reactor::{Event, Events, Interest, Reactor};
use stats::{Shard, WorkerMetric};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many ready connections are served per tick; the others come first in the next.
const EVENTS_PER_TICK: usize = 1024;

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
    /// Bytes that the worker's buffers may take.
    pub memory: usize,
    /// The origin of [`Now::mono_us`].
    pub epoch: Instant,
    /// Feeds the `random` distribution.
    pub seed: u64,
    /// By what sockets are read and written.
    pub io: Io,
}

/// One data-plane thread's state.
pub struct Worker {
    pub(crate) reactor: Net,
    pub(crate) ringed: Ringed,
    /// By what sockets are to be read and written; nothing once it is decided.
    io: Option<Io>,
    pub(crate) core: Core,
    pub(crate) topology: Arc<Topology>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) process: Arc<Process>,
    pub(crate) clients: Table<Client, ClientSocket>,
    pub(crate) conns: Table<ServerConn, ConnSocket>,
    pub(crate) acceptor: Acceptor,
    pub(crate) lingering: Lingering,
    /// Listeners that are not watched for a moment, and until when.
    pub(crate) resting: Vec<(Instant, usize)>,
    pub(crate) handle: Handle,
    pub(crate) notify: Notify,
    pub(crate) buffer: Box<[u8]>,
    /// What is ready at servers' connections in this tick.
    from_servers: Vec<(ConnId, Event)>,
    pub(crate) held: Held,
    pub(crate) clock: Clock,
    /// Once stopping: when to end at the latest.
    pub(crate) stop_at: Option<Instant>,
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
        let mut core =
            Core::new(setup.process.clone(), setup.topology.clone(), setup.shard.clone(), setup.seed);
        core.limit_memory(setup.memory);
        Ok(Worker {
            reactor: Net::new(reactor),
            ringed: Ringed::default(),
            io: Some(setup.io),
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
            from_servers: Vec::with_capacity(EVENTS_PER_TICK),
            held: Held::default(),
            clock: Clock::new(setup.epoch),
            stop_at: None,
        })
    }

    /// Runs until stopped. Fails when the kernel refuses to wait, or has no io_uring where the configuration insists on it.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TICK);
        self.begin()?;
        while !self.is_done() {
            self.turn(&mut events)?;
        }
        self.end()?;
        self.part();
        (self.notify)(Notice::Ended { worker: self.acceptor.here });
        Ok(())
    }

    /// Decides, once, by what sockets are read and written, and tells which it is. To be called on the thread that takes the turns,
    /// before the first; [`Worker::run`] does. Fails when it is io_uring or nothing, and the kernel has none.
    pub fn begin(&mut self) -> io::Result<()> {
        let Some(io) = self.io.take() else { return Ok(()) };
        let refused = match io {
            Io::Epoll => None,
            Io::Auto | Io::IoUring => self.begin_ring().err(),
        };
        if let (Io::IoUring, Some(error)) = (io, &refused) {
            return Err(io::Error::new(error.kind(), format!("io_uring is not to be had: {error}")));
        }
        let (worker, ring) = (self.acceptor.here, self.reactor.has_ring());
        (self.notify)(Notice::Streams { worker, ring, refused });
        Ok(())
    }

    /// One tick: waits, reads what is ready, writes what came of it. Fails when the kernel refuses to wait.
    #[inline]
    pub fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.ringed.take() {
            None => self.turn_polled(events),
            Some(mut ring) => {
                let outcome = self.turn_ring(&mut ring, events);
                self.ringed.put_back(ring);
                outcome
            }
        }
    }

    /// A tick without a ring.
    fn turn_polled(&mut self, events: &mut Events) -> io::Result<()> {
        self.wait(events)?;
        self.shard.worker(WorkerMetric::Ticks).add(1);
        self.core.tick(self.clock.tick());
        self.take_all(events);
        self.write_due();
        self.core.expire();
        if self.core.has_output() {
            self.act_on_outputs();
        }
        self.look_after();
        Ok(())
    }

    /// Does what the core wants done.
    pub(crate) fn act_on_outputs(&mut self) {
        while let Some(output) = self.core.next_output() {
            self.act(output);
        }
    }

    /// How long to wait for events at most.
    #[inline(always)] // into each way to wait
    pub(crate) fn patience(&self) -> Option<Duration> {
        let deadline = self.core.next_deadline().map(|at| self.clock.until(at));
        if self.stop_at.is_none() && self.resting.is_empty() && self.lingering.is_empty() {
            return deadline;
        }
        let stop = self.stop_at.map(|at| at.saturating_duration_since(Instant::now()));
        let rest = self.resting.first().map(|(until, _)| until.saturating_duration_since(Instant::now()));
        [deadline, stop, rest, self.lingering.pause()].into_iter().flatten().min()
    }

    /// Reads and writes what is ready.
    pub(crate) fn take_all(&mut self, events: &Events) {
        // Servers are read when what clients ask has left: it carries the acknowledgement of what they sent, which
        // the kernel would otherwise send by itself as soon as that is read.
        for event in events.iter() {
            self.take(event);
        }
        if self.core.has_output() {
            self.act_on_outputs();
        }
        while let Some((id, event)) = self.from_servers.pop() {
            self.conn_ready(id, event);
        }
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
                    self.from_servers.push((id, event));
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

    // ---- what is to be done

    fn act(&mut self, output: Output) {
        match output {
            Output::WriteClient(id) => self.write_or_hold(id),
            Output::WriteConn(id) if self.reactor.has_ring() => self.queue_write(Stream::Conn(id)),
            Output::WriteConn(id) => self.write_conn(id),
            Output::Connect { conn, pool, server } => self.connect(conn, pool, server),
            Output::CloseConn(id) => {
                if let Some(socket) = self.conns.remove(id) {
                    let transport = socket.release(&self.reactor);
                    self.close(transport);
                }
            }
            Output::AbortConn(id) => {
                if let Some(socket) = self.conns.remove(id) {
                    let transport = socket.abort(&self.reactor);
                    self.close(transport);
                }
            }
            Output::CloseClient(id, closing) => self.close_client(id, closing),
            Output::PauseConn(id) => self.read_conn(id, false),
            Output::ResumeConn(id) => self.read_conn(id, true),
            Output::PauseClient(id) => self.read_client(id, false),
            Output::ResumeClient(id) => self.read_client(id, true),
            Output::AskWorkers(survey) => self.ask_workers(survey),
            Output::TellMonitors { pool } => self.core.tell_monitors(pool),
            Output::ServerFailed { pool, server, cause, down } => {
                (self.notify)(Notice::ServerFailed { pool, server, cause, down });
            }
            Output::UnknownCommand { pool } => (self.notify)(Notice::UnknownCommand { pool }),
            Output::ServerAnswered { pool, server } => {
                (self.notify)(Notice::ServerAnswered { pool, server });
            }
        }
    }

    /// Hands a client's question to all other workers.
    fn ask_workers(&mut self, survey: SurveyId) {
        let Acceptor { workers, here, .. } = &self.acceptor;
        let Some(question) = self.core.begin_survey(survey, workers.len() - 1) else { return };
        let others = workers.iter().enumerate().filter(|(index, _)| index != here && question.is_for(*index));
        for (_, worker) in others {
            worker.send(Message::Question { from: *here, survey, question: question.clone() });
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
            Message::Collect { pool, server, answer } => (answer.0)(self.core.collect(pool, server)),
            Message::Timeout { pool, server, micros } => {
                self.core.handle(Input::Timeout { pool, server, micros });
            }
            Message::Question { from, survey, question } => {
                let findings = self.core.look_into(&question, Some(from));
                self.acceptor.workers[from].send(Message::Findings(survey, findings));
            }
            Message::Findings(survey, findings) => self.core.take_findings(survey, findings),
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
