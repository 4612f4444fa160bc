//! The control plane's one loop.

use crate::admin::ctl::{Asked as AskedBySocket, ControlSocket};
use crate::admin::stats_port::StatsPort;
use crate::capacity::Capacity;
use crate::discovery::dns;
use crate::event_log::EventLog;
use crate::follow::{self, Followed};
use crate::health::{Failure, Health};
use crate::heap::Heap;
use crate::learning::{Asked as AskedServer, Learning};
use crate::line;
use crate::log::Log;
use crate::probe;
use crate::returning::{Absence, Returned};
use crate::signal::{Asked, Signals};
use crate::start::Options;
use crate::views::Views;
use config::Settings;
use engine::Process;
use engine::command::learn::Learner;
use engine::topology::Standing;
use reactor::net::SockAddr;
use stats::{EventRing, Layout, PoolLayout, ProcessInfo, Registry, Shard};
use std::cell::Cell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use worker::{Gate, Handle, Listener, Message, Notice, Setup, Worker};

/// Requests in flight are answered within this once the process is told to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often events are looked for and ejected servers considered.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Events that may wait for the log.
const EVENTS: usize = 4096;

/// Bytes of twemproxy's mbuf to bytes read at once.
const READ_PER_MBUF: usize = 4;

/// The sockets of a start.
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) stats: StatsPort,
    pub(crate) control: Option<ControlSocket>,
}

/// The control plane's state.
pub(crate) struct Plane {
    pub(crate) settings: Rc<Settings>,
    pub(crate) log: Arc<Log>,
    pub(crate) registry: Arc<Registry>,
    /// The control plane's own counters: a shard of its own, so that every counter has one writer.
    pub(crate) shard: Arc<Shard>,
    events: Arc<EventRing>,
    event_log: EventLog,
    heap: Heap,
    pub(crate) health: Vec<Vec<Health>>,
    /// The servers whose timeouts follow them.
    pub(crate) followed: Followed,
    /// Servers that an operator has taken out.
    pub(crate) drained: Vec<Vec<bool>>,
    /// Servers that are away, and how far they are on their way back.
    pub(crate) absences: Vec<Vec<Absence>>,
    pub(crate) views: Views,
    /// What each pool's servers were asked of commands that are not known.
    pub(crate) learning: Vec<Learning>,
    pub(crate) learner: Learner,
    pub(crate) asked: (UnboundedSender<AskedServer>, UnboundedReceiver<AskedServer>),
    pub(crate) workers: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    /// Workers that have not ended.
    running: usize,
    /// Whether workers use io_uring, once the first has told.
    ring: Option<bool>,
    notices: UnboundedReceiver<Notice>,
    probes: (UnboundedSender<Probed>, UnboundedReceiver<Probed>),
    pub(crate) returns: (UnboundedSender<Returned>, UnboundedReceiver<Returned>),
    pub(crate) info: Rc<Info>,
    stats: Option<StatsPort>,
    pub(crate) control: Option<ControlSocket>,
    pub(crate) orders: (UnboundedSender<AskedBySocket>, UnboundedReceiver<AskedBySocket>),
}

/// What the stats port says beside the counters.
pub(crate) struct Info {
    version: &'static str,
    host: String,
    started: Instant,
    listening: u64,
    pub(crate) gate: Arc<Gate>,
    pub(crate) capacity: Cell<Capacity>,
}

/// How a probe ended.
pub(crate) struct Probed {
    pub(crate) pool: usize,
    pub(crate) server: usize,
    /// Nothing: the server could not be asked.
    pub(crate) answered: Option<bool>,
}

impl Plane {
    /// Starts the workers.
    pub(crate) fn start(options: Options, capacity: Capacity, bound: Bound) -> io::Result<Plane> {
        let Options { settings, process: asked, workers: count, version, log, ready: _ } = options;
        let layout = Layout { pools: settings.pools.iter().map(pool_layout).collect() };
        let registry = Arc::new(Registry::new(layout, count + 1));
        let pool_max = settings.pools.iter().map(|pool| u64::from(pool.client_connections));
        let gate = Arc::new(Gate::new(count, capacity.client_conns, pool_max));
        let process = Arc::new(Process::new(version, std::process::id(), registry.clone(), EVENTS));
        let (notify, notices) = unbounded_channel();
        let handles: Vec<Handle> = (0..count).map(|_| Handle::new()).collect::<io::Result<_>>()?;
        let started = Instant::now();
        let views = Views::new(&settings);
        let learning = settings.pools.iter().map(|pool| Learning::new(pool, started)).collect();
        let mut threads = Vec::new();
        for index in 0..count {
            let notify = notify.clone();
            let worker = Worker::new(Setup {
                index,
                topology: views.present().clone(),
                shard: registry.shards()[index].clone(),
                process: process.clone(),
                listeners: bound.listeners.clone(),
                gate: gate.clone(),
                workers: handles.clone(),
                // The plane outlives its workers but for the very end, when nobody need be told.
                notify: Arc::new(move |notice| _ = notify.send(notice)),
                read_bytes: asked.mbuf_size as usize * READ_PER_MBUF,
                memory: usize::try_from(asked.max_memory.0).unwrap_or(usize::MAX) / count,
                epoch: started,
                seed: seed(index),
                io: asked.io,
            })?;
            threads.push(spawn(index, worker, log.clone())?);
            if settings.pools.iter().any(|pool| pool.preconnect) {
                handles[index].send(Message::Preconnect);
            }
        }
        Ok(Plane {
            health: settings
                .pools
                .iter()
                .map(|pool| pool.servers.iter().map(|_| Health::default()).collect())
                .collect(),
            followed: Followed::new(&settings, &registry.shards()[count], started),
            drained: settings.pools.iter().map(|pool| vec![false; pool.servers.len()]).collect(),
            absences: settings
                .pools
                .iter()
                .map(|pool| pool.servers.iter().map(|_| Absence::default()).collect())
                .collect(),
            shard: registry.shards()[count].clone(),
            info: Rc::new(Info {
                version,
                host: reactor::host_name(),
                started,
                listening: settings.pools.len() as u64,
                gate,
                capacity: Cell::new(capacity),
            }),
            settings: Rc::new(settings),
            log,
            registry,
            events: process.events.clone(),
            event_log: EventLog::default(),
            heap: Heap::new(started),
            views,
            learning,
            learner: Learner::default(),
            asked: unbounded_channel(),
            workers: handles,
            threads,
            running: count,
            ring: None,
            notices,
            probes: unbounded_channel(),
            returns: unbounded_channel(),
            stats: Some(bound.stats),
            control: bound.control,
            orders: unbounded_channel(),
        })
    }

    /// Runs until all workers have ended.
    pub(crate) fn run(mut self, runtime: Runtime, signals: Signals) -> io::Result<()> {
        let local = tokio::task::LocalSet::new();
        let outcome = local.block_on(&runtime, self.turn(signals));
        // Resolvers may hang in the system's library; nothing waits for them.
        runtime.shutdown_background();
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            // A worker that fails ends the process, so this one ended well.
            _ = thread.join();
        }
        outcome
    }

    async fn turn(&mut self, mut signals: Signals) -> io::Result<()> {
        self.serve_stats();
        self.serve_control();
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut stop_at: Option<tokio::time::Instant> = None;
        while self.running > 0 {
            let overdue = async {
                match stop_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                asked = signals.next() => {
                    if self.obey(asked) && stop_at.replace(tokio::time::Instant::now() + STOP_WITHIN * 2).is_some() {
                        line!(self.log, Always, "told to stop twice: not waiting any longer");
                        break;
                    }
                }
                Some(notice) = self.notices.recv() => self.take(notice),
                Some((order, back)) = self.orders.1.recv() => {
                    // Who asked may be gone; the order holds all the same.
                    _ = back.send(self.order(&order));
                }
                Some(probed) = self.probes.1.recv() => self.take_probe(&probed),
                Some(asked) = self.asked.1.recv() => self.take_commands(asked),
                Some(returned) = self.returns.1.recv() => self.take_return(returned),
                _ = look.tick() => self.look(),
                () = overdue => {
                    line!(self.log, Error, "{} workers did not stop in time", self.running);
                    break;
                }
            }
        }
        self.look();
        line!(self.log, Always, "done");
        Ok(())
    }

    /// Does what a signal asks for; answers whether that is to stop.
    fn obey(&mut self, asked: Asked) -> bool {
        match asked {
            Asked::ReopenLog => {
                line!(self.log, Always, "signal 1 (SIGHUP) received, reopening log file");
                self.log.reopen();
            }
            Asked::MoreLog => {
                let level = self.log.raise();
                line!(self.log, Always, "signal 21 (SIGTTIN) received, up log level to {level}");
            }
            Asked::LessLog => {
                let level = self.log.lower();
                line!(self.log, Always, "signal 22 (SIGTTOU) received, down log level to {level}");
            }
            Asked::Nothing(name) => line!(self.log, Always, "{name} received"),
            Asked::Stop(name) => {
                line!(self.log, Always, "{name} received, stopping: requests in flight are answered");
                for worker in &self.workers {
                    worker.send(Message::Stop(STOP_WITHIN));
                }
                return true;
            }
        }
        false
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Resolve { worker, conn, host, port } => {
                let handle = self.workers[worker].clone();
                tokio::task::spawn_local(async move {
                    let found = dns::resolve(&host, port).await;
                    let addresses = found.into_iter().map(SockAddr::Inet).collect();
                    handle.send(Message::Resolved { conn, addresses });
                });
            }
            Notice::ServerFailed { pool, server, cause, down } => {
                self.server_failed(pool as usize, server as usize, Failure { cause, down });
            }
            Notice::ServerAnswered { pool, server } => {
                self.health[pool as usize][server as usize].answered();
                self.learning[pool as usize].hint(Instant::now());
            }
            Notice::UnknownCommand { pool } => self.learning[pool as usize].hint(Instant::now()),
            Notice::Streams { worker, ring, refused } => self.told_io(worker, ring, refused),
            Notice::Ended { worker } => {
                line!(self.log, Info, "worker {worker} ended");
                self.running -= 1;
            }
        }
    }

    /// Logs by what workers read and write: once, and again of one that differs.
    fn told_io(&mut self, worker: usize, ring: bool, refused: Option<io::Error>) {
        let who = match self.ring.replace(ring) {
            None => "workers read and write by".to_owned(),
            Some(others) if others != ring => format!("worker {worker} reads and writes by"),
            Some(_) => return,
        };
        match (ring, refused) {
            (true, _) => line!(self.log, Always, "{who} io_uring"),
            (false, None) => line!(self.log, Always, "{who} epoll"),
            (false, Some(error)) => {
                line!(self.log, Always, "{who} epoll; io_uring is not to be had: {error}")
            }
        }
    }

    /// Hands all workers the view of pools and servers as it is now.
    pub(crate) fn publish(&mut self) {
        let pools = self.settings.pools.iter().enumerate();
        let standing = |(p, pool): (usize, &config::Pool)| -> Vec<Standing> {
            (0..pool.servers.len()).map(|s| self.standing(p, s)).collect()
        };
        let standings: Vec<Vec<Standing>> = pools.map(standing).collect();
        self.views.renew(&self.settings, |pool, server| standings[pool][server]);
        self.hand_out_view();
    }

    pub(crate) fn hand_out_view(&self) {
        for worker in &self.workers {
            worker.send(Message::Topology(self.views.present().clone()));
        }
    }

    /// The regular look: memory, events to the log, probes to the ejected.
    fn look(&mut self) {
        let now = Instant::now();
        self.views.tidy();
        self.heap.look(now, reactor::heap::resident_bytes, reactor::heap::give_back);
        self.event_log.drain(&self.events, self.registry.layout(), &self.log, now);
        self.shard.worker(stats::WorkerMetric::EventsDropped).set(self.events.dropped());
        self.follow_servers(now);
        self.ask_for_commands(now);
        for (pool, servers) in self.health.iter_mut().enumerate() {
            for (server, health) in servers.iter_mut().enumerate() {
                if health.probe_due(now) {
                    let timeout = follow::timeout(&self.shard, pool, server);
                    let (settings, done) = (self.settings.clone(), self.probes.0.clone());
                    let standby = settings.pools[pool].servers[server].standby;
                    let urgent = settings.pools[pool].on_failure.ejects() && !standby && health.is_in();
                    tokio::task::spawn_local(async move {
                        let answered = probe::probe(&settings.pools[pool], server, timeout, urgent).await;
                        // Nobody listens only when the process is ending.
                        _ = done.send(Probed { pool, server, answered });
                    });
                }
            }
        }
    }

    // ---- stats

    fn serve_stats(&mut self) {
        let Some(port) = self.stats.take() else { return };
        let (registry, info, log) = (self.registry.clone(), self.info.clone(), self.log.clone());
        let workers = self.workers.len();
        tokio::task::spawn_local(async move {
            let text = move || {
                let mut snapshot = registry.snapshot();
                // The control plane's own shard is no worker's.
                snapshot.workers = workers;
                stats::json(&snapshot, &info.process(&registry))
            };
            if let Err(error) = port.serve(text).await {
                line!(log, Error, "the stats port ended: {error}");
            }
        });
    }
}

impl Info {
    fn process(&self, registry: &Registry) -> ProcessInfo {
        let snapshot = registry.snapshot();
        ProcessInfo {
            source: self.host.clone(),
            version: self.version.to_string(),
            uptime: self.started.elapsed().as_secs(),
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            total_connections: snapshot.worker(stats::WorkerMetric::TotalConnections) + self.listening,
            curr_connections: snapshot.worker(stats::WorkerMetric::CurrConnections) + self.listening,
            max_clients: self.gate.max(),
            extra: vec![("max_fds", self.capacity.get().max_fds)],
        }
    }
}

fn pool_layout(pool: &config::Pool) -> PoolLayout {
    PoolLayout {
        name: pool.name.clone(),
        servers: pool.servers.iter().map(|server| server.name.clone()).collect(),
    }
}

fn spawn(index: usize, worker: Worker, log: Arc<Log>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        // A worker is not to panic. If one does, its clients' state is lost: better the whole process ends, and
        // is started again by whoever watches it, than that it lives on with a part of it dead.
        let reason = match std::panic::catch_unwind(AssertUnwindSafe(|| worker.run())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked; the message is on stderr".to_string(),
        };
        line!(log, Always, "worker {index} failed, the process ends: {reason}");
        log.flush();
        std::process::exit(1);
    })
}

pub(crate) fn seed(index: usize) -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    nanos ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
