//! Without a configuration: embedded in-memory servers behind one redis and one memcached pool, to try
//! Cashew at once.

use config::Settings;
use embedded::Running;
use std::fmt::Write;
use std::io;

/// Servers of each kind: enough to see keys spread.
const SERVERS: usize = 4;

/// What the pools and, unless a flag says otherwise, the stats port listen on: this machine alone.
pub(crate) const ADDRESS: &str = "127.0.0.1";

/// Where the pools listen.
const REDIS_PORT: u16 = 22121;
const MEMCACHED_PORT: u16 = 22122;

/// Starts the embedded servers, which run until the answer is dropped, and the settings for pools over them.
pub(crate) fn start() -> io::Result<(Running, Settings)> {
    let running = embedded::start(SERVERS, SERVERS)?;
    let mut text = String::new();
    for (name, port, redis, servers) in [
        ("redis", REDIS_PORT, true, running.redis()),
        ("memcached", MEMCACHED_PORT, false, running.memcache()),
    ] {
        // Writing to a string cannot fail.
        _ = write!(
            text,
            "{name}:\n  listen: 127.0.0.1:{port}\n  redis: {redis}\n  timeout: 1000\n  hash_tag: \"{{}}\"\n  servers:\n"
        );
        for (index, address) in servers.iter().enumerate() {
            _ = writeln!(text, "   - {address}:1 {name}{}", index + 1);
        }
    }
    let settings = config::load(&text, &config::system_resolver).map_err(|mistakes| {
        io::Error::other(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    Ok((running, settings))
}

/// What to type next.
pub(crate) fn welcome(stats_port: u16) -> String {
    format!(
        "No configuration given: {SERVERS} embedded redis and {SERVERS} embedded memcached servers run in this process.\n\
         They keep their data in memory and lose it at the end. Try in another terminal:\n\
         \n\
         \x20 redis-cli -p {REDIS_PORT} mset apple 1 banana 2 cherry 3\n\
         \x20 redis-cli -p {REDIS_PORT} mget cherry banana apple\n\
         \x20 printf 'set k 0 0 5\\r\\nhello\\r\\nget k\\r\\nquit\\r\\n' | nc 127.0.0.1 {MEMCACHED_PORT}\n\
         \x20 nc 127.0.0.1 {stats_port}              (statistics)\n\
         \n\
         With your own servers: cashew -c nutcracker.yml (samples in conf/, all settings in docs/config.md).\n\
         Stop with Ctrl-C.\n"
    )
}
