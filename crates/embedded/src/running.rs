//! Embedded servers on a background thread, for who has no async runtime.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::options::Options;

/// Which servers to start: `Embedded::new().redis(2).memcache(1).start()`.
#[derive(Debug, Clone, Default)]
pub struct Embedded {
    redis: usize,
    memcache: usize,
    options: Options,
}

/// Servers that are running; they stop, with all they hold, when this is dropped.
#[derive(Debug)]
pub struct Running {
    redis: Vec<SocketAddr>,
    memcache: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts redis and memcached servers with the usual bounds, each on a free port of 127.0.0.1.
///
/// # Errors
/// When a port cannot be bound or a thread not be started.
pub fn start(count_redis: usize, count_memcache: usize) -> io::Result<Running> {
    Embedded::new().redis(count_redis).memcache(count_memcache).start()
}

impl Embedded {
    /// None yet.
    pub fn new() -> Embedded {
        Embedded::default()
    }

    /// How many redis servers.
    pub fn redis(self, count: usize) -> Embedded {
        Embedded { redis: count, ..self }
    }

    /// How many memcached servers.
    pub fn memcache(self, count: usize) -> Embedded {
        Embedded { memcache: count, ..self }
    }

    /// The bounds of each of them.
    pub fn options(self, options: Options) -> Embedded {
        Embedded { options, ..self }
    }

    /// Starts them, all on one background thread, each on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When a port cannot be bound or a thread not be started.
    pub fn start(self) -> io::Result<Running> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let redis = listeners(&runtime, self.redis)?;
        let memcache = listeners(&runtime, self.memcache)?;
        let (redis_addrs, memcache_addrs) = (addrs(&redis)?, addrs(&memcache)?);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("embedded".into())
            .spawn(move || runtime.block_on(run(redis, memcache, self.options, stopped)))?;
        Ok(Running { redis: redis_addrs, memcache: memcache_addrs, stop: Some(stop), thread: Some(thread) })
    }
}

impl Running {
    /// The addresses of the redis servers.
    pub fn redis(&self) -> &[SocketAddr] {
        &self.redis
    }

    /// The addresses of the memcached servers.
    pub fn memcache(&self) -> &[SocketAddr] {
        &self.memcache
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and has said so already.
            let _ = thread.join();
        }
    }
}

async fn run(
    redis: Vec<TcpListener>,
    memcache: Vec<TcpListener>,
    options: Options,
    stopped: oneshot::Receiver<()>,
) {
    let mut servers = tokio::task::JoinSet::new();
    for listener in redis {
        servers.spawn(crate::redis(listener, options.clone()));
    }
    for listener in memcache {
        servers.spawn(crate::memcache(listener, options.clone()));
    }
    // Either way the handle is gone. The servers end with their set.
    let _ = stopped.await;
}

fn listeners(runtime: &Runtime, count: usize) -> io::Result<Vec<TcpListener>> {
    runtime.block_on(async {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        Ok(all)
    })
}

fn addrs(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}
