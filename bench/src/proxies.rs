//! The servers and the proxies: how each is started, and its configuration. The configurations are equivalent:
//! the same four servers, one worker thread, one connection per server where the proxy shares them.

use crate::process::{Process, find_program, version_of};
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, bail, ensure};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// What stands between clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: clients talk to the first server.
    Direct,
    /// haproxy in TCP mode, forwarding to the first server.
    Haproxy,
    /// nutcracker (twemproxy).
    Nutcracker,
    /// This project.
    Cashew,
}

/// Every kind by name, in the order of rounds; the first that others are compared with is nutcracker.
pub(crate) const KINDS: [(&str, Kind); 4] = [
    ("nutcracker", Kind::Nutcracker),
    ("cashew", Kind::Cashew),
    ("haproxy", Kind::Haproxy),
    ("direct", Kind::Direct),
];

/// What a reader of the figures has to know.
pub(crate) const NOTES: [&str; 2] = [
    "haproxy runs in TCP mode: it does not know the protocol, cannot shard, and forwards each client over a connection of its own to the first server",
    "direct is no proxy: clients talk to the first server",
];

impl Kind {
    /// The name on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("unknown", |(name, _)| name)
    }

    /// The kind with that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let found = KINDS.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).with_context(|| format!("no proxy is called '{name}'"))
    }
}

/// A proxy that is there to be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// Which.
    pub(crate) kind: Kind,
    /// Its program; empty for `direct`.
    pub(crate) path: PathBuf,
}

impl Program {
    /// Finds the program of a proxy; cashew is built unless its path is given.
    ///
    /// # Errors
    /// When it is not installed or cannot be built.
    pub(crate) fn find(kind: Kind, cashew: Option<&Path>) -> Result<Self> {
        let path = match (kind, cashew) {
            (Kind::Direct, _) => PathBuf::new(),
            (Kind::Cashew, Some(path)) => {
                ensure!(path.is_file(), "{} is not a file", path.display());
                path.to_owned()
            }
            (Kind::Cashew, None) => build_cashew()?,
            _ => find_program(kind.name()).context("not installed")?,
        };
        Ok(Self { kind, path })
    }

    /// What it says of its version; `None` for `direct`.
    pub(crate) fn version(&self) -> Option<String> {
        let flag = match self.kind {
            Kind::Direct => return None,
            Kind::Haproxy => "-v",
            Kind::Nutcracker | Kind::Cashew => "-V",
        };
        Some(version_of(&self.path, flag))
    }

    /// Starts it in front of `servers`; `None` for `direct`, which is no process.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(
        &self,
        protocol: Protocol,
        servers: &[Process],
        dir: &Path,
        stop: &AtomicBool,
    ) -> Result<Option<Process>> {
        let servers: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        let name = self.kind.name();
        let config = dir.join(format!("{name}.conf"));
        let start = |command: &dyn Fn(u16, u16) -> Result<Command>| {
            Process::start(name, dir, stop, command).map(Some)
        };
        match self.kind {
            Kind::Direct => Ok(None),
            Kind::Haproxy => start(&|port, _| {
                std::fs::write(&config, haproxy_config(port, &servers, haproxy_clients())?)?;
                let mut command = Command::new(&self.path);
                command.arg("-db").arg("-f").arg(&config);
                Ok(command)
            }),
            Kind::Nutcracker | Kind::Cashew => start(&|port, stats| {
                std::fs::write(&config, pool_config(port, protocol, &servers))?;
                let mut command = Command::new(&self.path);
                command.arg("-c").arg(&config).args(["-a", "127.0.0.1", "-s", &stats.to_string()]);
                if self.kind == Kind::Cashew {
                    command.args(["--threads", "1"]);
                } else {
                    // Packages compile in a path below /run.
                    command.arg("-p").arg(dir.join("nutcracker.pid"));
                }
                Ok(command)
            }),
        }
    }
}

/// Builds cashew as it ships for benches and says where it is.
fn build_cashew() -> Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "cashew", "--message-format=json-render-diagnostics"])
        .current_dir(crate::record::bench_dir())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("running cargo")?;
    ensure!(output.status.success(), "cargo build --release -p cashew failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next_back().context("cargo named no program")
}

/// The same file for nutcracker and cashew. Names of servers, not their ports, decide where keys go, so that
/// every run spreads them alike.
fn pool_config(port: u16, protocol: Protocol, servers: &[SocketAddr]) -> String {
    let redis = protocol == Protocol::Redis;
    let mut text = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: {redis}\n  \
         timeout: 5000\n  preconnect: true\n  auto_eject_hosts: false\n  server_connections: 1\n  servers:\n"
    );
    for (at, server) in servers.iter().enumerate() {
        writeln!(text, "    - {server}:1 server{}", at + 1).expect("a String takes all");
    }
    text
}

/// How many clients haproxy may have at most: it has two descriptors for each and does not start when the system allows it
/// too few.
fn haproxy_clients() -> u64 {
    let descriptors =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    (descriptors.saturating_sub(HAPROXY_SPARE) / 2).min(HAPROXY_CLIENTS_MAX)
}

fn haproxy_config(port: u16, servers: &[SocketAddr], clients: u64) -> Result<String> {
    let Some(first) = servers.first() else { bail!("no server") };
    Ok(format!(
        "global\n  nbthread 1\n  maxconn {clients}\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 60s\n  timeout server 60s\nlisten bench\n  bind 127.0.0.1:{port}\n  server server1 {first}\n"
    ))
}

/// The program of the servers of a protocol, and its flag for the version.
pub(crate) fn server_program(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::Redis => ("redis-server", "--version"),
        Protocol::Memcached => ("memcached", "-V"),
    }
}

/// Starts the four servers: one thread each, nothing kept on disk.
///
/// # Errors
/// When the program is missing or does not come up.
pub(crate) fn start_servers(protocol: Protocol, dir: &Path, stop: &AtomicBool) -> Result<Vec<Process>> {
    let (name, _) = server_program(protocol);
    let program = find_program(name).with_context(|| format!("{name} is not installed"))?;
    (1..=SERVERS)
        .map(|number| {
            Process::start(&format!("{name}{number}"), dir, stop, |port, _| {
                let mut command = Command::new(&program);
                server_arguments(&mut command, protocol, port, dir);
                Ok(command)
            })
        })
        .collect()
}

/// What a server of the bench is started with.
pub(crate) fn server_arguments(command: &mut Command, protocol: Protocol, port: u16, dir: &Path) {
    let port = port.to_string();
    match protocol {
        Protocol::Redis => {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
            command.args(["--daemonize", "no", "--io-threads", "1", "--dir"]).arg(dir);
        }
        Protocol::Memcached => {
            command.args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-t", "1", "-m", "256", "-c", "4096"]);
            if rustix::process::getuid().is_root() {
                // It refuses to run as root.
                command.args(["-u", "nobody"]);
            }
        }
    }
}

const SERVERS: usize = 4;
/// More than any scenario has.
const HAPROXY_CLIENTS_MAX: u64 = 10_000;
/// Descriptors that are not clients', with room.
const HAPROXY_SPARE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, kind) in KINDS {
            assert_eq!(Kind::parse(name).unwrap(), kind);
            assert_eq!(kind.name(), name);
        }
        assert!(Kind::parse("envoy").is_err());
    }

    #[test]
    fn configurations() {
        let servers: Vec<SocketAddr> =
            ["127.0.0.1:7001", "127.0.0.1:7002"].map(|s| s.parse().unwrap()).into();
        let pool = pool_config(22_121, Protocol::Memcached, &servers);
        for line in ["  listen: 127.0.0.1:22121\n", "  redis: false\n", "    - 127.0.0.1:7002:1 server2\n"] {
            assert!(pool.contains(line), "{pool}");
        }
        let haproxy = haproxy_config(22_122, &servers, 4_000).unwrap();
        assert!(haproxy.contains("  maxconn 4000\n"), "{haproxy}");
        assert!(haproxy.contains("  bind 127.0.0.1:22122\n  server server1 127.0.0.1:7001\n"), "{haproxy}");
        assert!(haproxy_config(22_122, &[], 4_000).is_err());
    }
}
