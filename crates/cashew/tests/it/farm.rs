//! A pool of real servers with Cashew in front of it, and one more server beside it that clients ask directly:
//! whatever the two answer must be the same.

use std::io;
use std::thread;

use testkit::{Cashew, Client, Memcached, RedisServer, ports};

/// Servers in a pool: enough that keys spread and that two may be the same.
pub(crate) const SERVERS: usize = 4;

/// A pool, the proxy in front of it, and a server that is in no pool.
pub(crate) struct Farm<S> {
    proxy: Cashew,
    pub(crate) servers: Vec<S>,
    pub(crate) direct: S,
    port: u16,
}

impl<S> Farm<S> {
    /// Where the proxy listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where the proxy tells its figures.
    pub(crate) fn stats_port(&self) -> u16 {
        self.proxy.stats_port()
    }

    /// Memory that the proxy takes.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.proxy.rss_kib().expect("the system tells")
    }

    /// A client of the proxy.
    pub(crate) fn client(&self) -> Client {
        Client::connect_port(self.port).expect("the proxy accepts")
    }
}

impl<S> Drop for Farm<S> {
    /// Whatever a test did, the proxy must have lived through it.
    fn drop(&mut self) {
        if !thread::panicking() {
            let ended = self.proxy.exited();
            assert!(ended.is_none(), "the proxy ended ({ended:?})\n{}", self.proxy.output());
        }
    }
}

impl Farm<RedisServer> {
    /// Redis servers; `options` are lines of the pool's section, `threads` the proxy's workers.
    pub(crate) fn redis(threads: usize, options: &[&str]) -> Farm<RedisServer> {
        Farm::redis_of(SERVERS, threads, options)
    }

    /// The same with so many servers.
    pub(crate) fn redis_of(servers: usize, threads: usize, options: &[&str]) -> Farm<RedisServer> {
        let options = [options, &["redis: true", "hash_tag: \"{}\"", SPREAD]].concat();
        farm(servers, threads, &options, RedisServer::start, RedisServer::port)
    }
}

impl Farm<Memcached> {
    /// Memcached servers; `options` are lines of the pool's section, `threads` the proxy's workers.
    pub(crate) fn memcached(threads: usize, options: &[&str]) -> Farm<Memcached> {
        farm(
            SERVERS,
            threads,
            &[options, &[SPREAD]].concat(),
            || Memcached::start_with(&["-m", "64"]),
            Memcached::port,
        )
    }
}

/// The default hash puts keys that differ only at their end on few servers.
const SPREAD: &str = "hash: murmur";

fn farm<S: Send>(
    servers: usize,
    threads: usize,
    options: &[&str],
    start: fn() -> io::Result<S>,
    port_of: fn(&S) -> u16,
) -> Farm<S> {
    let mut servers = many(servers + 1, start);
    let direct = servers.pop().expect("one more than the pool has");
    let ports: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", port_of(server))).collect();
    let port = ports::free();
    let config = pool(&format!("127.0.0.1:{port}"), &ports, options);
    let proxy = proxy(&config, threads);
    Farm { proxy, servers, direct, port }
}

/// Starts `count` servers side by side.
pub(crate) fn many<S: Send>(count: usize, start: impl Fn() -> io::Result<S> + Sync) -> Vec<S> {
    thread::scope(|scope| {
        let starting: Vec<_> = (0..count).map(|_| scope.spawn(&start)).collect();
        let started = starting.into_iter().map(|thread| thread.join().expect("starting does not panic"));
        started.map(|server| server.unwrap_or_else(|e| panic!("{e}"))).collect()
    })
}

/// A configuration of one pool called `farm`. Servers are `host:port` or `/path`; their names do not depend on
/// where they listen, so keys are placed alike in every run.
pub(crate) fn pool(listen: &str, servers: &[String], options: &[&str]) -> String {
    let mut text = format!("farm:\n  listen: \"{listen}\"\n");
    for option in options {
        text.push_str(&format!("  {option}\n"));
    }
    text.push_str("  servers:\n");
    for (index, server) in servers.iter().enumerate() {
        text.push_str(&format!("  - \"{server}:1 server-{index}\"\n"));
    }
    text
}

/// The proxy of this build with `threads` workers.
pub(crate) fn proxy(config: &str, threads: usize) -> Cashew {
    Cashew::start(env!("CARGO_BIN_EXE_cashew"), config, &["--threads", &threads.to_string()])
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Fails with the place where two long answers part.
#[track_caller]
pub(crate) fn same(ours: &[u8], wanted: &[u8]) {
    if ours != wanted {
        let at = ours.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(ours.len().min(wanted.len()));
        let around = |bytes: &[u8]| {
            bytes[at.saturating_sub(60).min(bytes.len())..(at + 60).min(bytes.len())]
                .escape_ascii()
                .to_string()
        };
        panic!("they part at byte {at}:\n  ours:   {}\n  wanted: {}", around(ours), around(wanted));
    }
}
