//! Starting: settings in, a running proxy out. Nothing is served before everything is bound.

use crate::admin::ctl::ControlSocket;
use crate::capacity::Capacity;
use crate::line;
use crate::log::Log;
use crate::plane::{Bound, Plane};
use crate::signal::Signals;
use config::{Listen, Pool, Protocol, Settings};
use reactor::net;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use worker::Listener;

/// What the binary hands over.
#[derive(Debug)]
pub struct Options {
    /// The checked configuration.
    pub settings: Settings,
    /// Settings of the process after flags and file were merged.
    pub process: config::Process,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// The product's version.
    pub version: &'static str,
    /// The log, open.
    pub log: Arc<Log>,
    /// Called once, when everything is bound and clients are served.
    pub ready: Ready,
}

/// What the binary wants done when the proxy serves.
pub struct Ready(pub Box<dyn FnOnce() -> io::Result<()>>);

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The descriptor limit leaves no room for clients.
    #[error(
        "the descriptor limit is {limit}, and servers alone need more: raise it to at least {needed} (ulimit -n)"
    )]
    Descriptors {
        /// The limit, after it was raised as far as the system allows.
        limit: u64,
        /// The least that would do.
        needed: u64,
    },
    /// A pool's address cannot be listened on.
    #[error("pool '{pool}' cannot listen on {address}: {error}")]
    Listen {
        /// The pool.
        pool: String,
        /// As the configuration has it.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The stats port cannot be bound.
    #[error("stats port {address} port {port} cannot be bound: {error}")]
    Stats {
        /// As given by flag or file.
        address: String,
        /// The port.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// The control socket cannot be bound.
    #[error("control socket {} cannot be bound: {error}", path.display())]
    Control {
        /// As the configuration has it.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system refused something else.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs the proxy until it is told to stop. Answers when everything has ended in good order.
pub fn run(mut options: Options) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody can find us: a log rotation that comes early must not kill the process.
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let (max_fds, _) = reactor::raise_nofile();
    let capacity = Capacity::new(&options.settings, options.workers as u64, max_fds)
        .map_err(|needed| StartError::Descriptors { limit: max_fds, needed })?;
    let log = options.log.clone();
    line!(
        log,
        Notice,
        "max fds {} max client conns {} max server conns {}",
        capacity.max_fds,
        capacity.client_conns,
        capacity.server_conns
    );
    let stats = bind_stats(&options.process)?;
    line!(log, Notice, "stats on {}", stats.address());
    let control = options.process.control_socket.as_deref().map(bind_control).transpose()?;
    let mut sockets = Vec::new();
    for (index, pool) in options.settings.pools.iter().enumerate() {
        sockets.push(bind_pool(index, pool, &log)?);
    }
    let paths = options.settings.pools.iter().filter_map(unix_path);
    let paths = paths.chain(stats.path()).chain(control.as_ref().map(ControlSocket::path));
    let own: Vec<OwnSocket> = paths.filter_map(OwnSocket::new).collect();
    let ready = std::mem::replace(&mut options.ready, Ready(Box::new(|| Ok(()))));
    let outcome =
        Plane::start(options, capacity, Bound { listeners: sockets, stats, control }).and_then(|plane| {
            ready.0()?;
            plane.run(runtime, signals)
        });
    own.into_iter().for_each(OwnSocket::remove);
    Ok(outcome?)
}

/// A unix socket that this process made, told from one that its successor put in its place.
struct OwnSocket {
    path: PathBuf,
    file: (u64, u64),
}

impl OwnSocket {
    fn new(path: PathBuf) -> Option<OwnSocket> {
        let file = Self::identity(&path)?;
        Some(OwnSocket { path, file })
    }

    fn identity(path: &Path) -> Option<(u64, u64)> {
        std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }

    fn remove(self) {
        if Self::identity(&self.path) == Some(self.file) {
            // Gone already is as good.
            _ = std::fs::remove_file(self.path);
        }
    }
}

fn bind_stats(process: &config::Process) -> Result<crate::admin::stats_port::StatsPort, StartError> {
    crate::admin::stats_port::StatsPort::bind(&process.stats_addr, process.stats_port).map_err(|error| {
        StartError::Stats { address: process.stats_addr.clone(), port: process.stats_port, error }
    })
}

fn bind_control(path: &Path) -> Result<ControlSocket, StartError> {
    ControlSocket::bind(path).map_err(|error| StartError::Control { path: path.to_path_buf(), error })
}

fn bind_pool(index: usize, pool: &Pool, log: &Log) -> Result<Listener, StartError> {
    let socket = listen(pool).map_err(|error| StartError::Listen {
        pool: pool.name.clone(),
        address: pool.listen.to_string(),
        error,
    })?;
    let (protocol, refusal) = match pool.protocol {
        Protocol::Redis => ("redis", "-ERR max number of clients reached\r\n"),
        Protocol::Memcache => ("memcache", "SERVER_ERROR max number of clients reached\r\n"),
    };
    let servers = pool.own_servers().len();
    line!(
        log,
        Notice,
        "listening on '{}' in {protocol} pool {index} '{}' with {servers} servers",
        pool.listen,
        pool.name
    );
    if let Some(somaxconn) = reactor::somaxconn().filter(|most| *most < pool.backlog) {
        line!(
            log,
            Warning,
            "pool '{}': backlog {} is cut to {somaxconn} by net.core.somaxconn",
            pool.name,
            pool.backlog
        );
    }
    Ok(Listener { socket: Arc::new(socket), pool: index, keepalive: pool.tcpkeepalive, refusal })
}

fn listen(pool: &Pool) -> io::Result<OwnedFd> {
    match &pool.listen {
        Listen::Tcp { addr, .. } => net::listen_tcp(*addr, pool.backlog, pool.reuseport),
        Listen::Unix { path, mode } => net::listen_unix(path, *mode, pool.backlog),
    }
}

fn unix_path(pool: &Pool) -> Option<PathBuf> {
    match &pool.listen {
        Listen::Unix { path, .. } => Some(path.clone()),
        Listen::Tcp { .. } => None,
    }
}
