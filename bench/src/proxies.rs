//! The servers and the proxies: how each is started, and its configuration. The configurations are equivalent:
//! the same four servers, one worker thread, one connection per server where the proxy shares them.

mod config;

use crate::process::{Process, find_program, version_of};
use crate::report::grouped;
use crate::scenario::{Protocol, Scenario};
use anyhow::{Context as _, Result, bail, ensure};
use config::{envoy_config, haproxy_clients, haproxy_config, mcproxy_config, pool_config};
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
    /// Envoy with its redis proxy.
    Envoy,
    /// memcached as a proxy of other memcached.
    Mcproxy,
    /// nutcracker (twemproxy).
    Nutcracker,
    /// This project, with io_uring where the kernel has it.
    Cashew,
    /// The same without.
    CashewEpoll,
    /// The same, another build of it or started otherwise.
    Beside,
}

/// Every kind by name, in the order of rounds; the first that others are compared with is nutcracker.
pub(crate) const KINDS: [(&str, Kind); 8] = [
    ("nutcracker", Kind::Nutcracker),
    ("cashew", Kind::Cashew),
    ("cashew-epoll", Kind::CashewEpoll),
    ("beside", Kind::Beside),
    ("haproxy", Kind::Haproxy),
    ("envoy", Kind::Envoy),
    ("mcproxy", Kind::Mcproxy),
    ("direct", Kind::Direct),
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

    /// Whether it spreads keys over servers.
    pub(crate) fn shards(self) -> bool {
        !matches!(self, Kind::Direct | Kind::Haproxy)
    }

    /// Whether it understands a protocol, or need not.
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        match self {
            Kind::Envoy => protocol == Protocol::Redis,
            Kind::Mcproxy => protocol == Protocol::Memcached,
            Kind::Direct | Kind::Haproxy | Kind::Nutcracker => true,
            Kind::Cashew | Kind::CashewEpoll | Kind::Beside => true,
        }
    }

    /// What a reader of the figures has to know of it.
    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Kind::Haproxy => Some(
                "haproxy runs in TCP mode: it does not know the protocol, cannot shard, and forwards each client over a connection of its own to the first server",
            ),
            Kind::Envoy => {
                Some("envoy speaks only redis; it hashes with maglev and is otherwise as it comes")
            }
            Kind::Mcproxy => Some("mcproxy is memcached as a proxy of other memcached"),
            Kind::Direct => Some("direct is no proxy: clients talk to the first server"),
            Kind::CashewEpoll => {
                Some("cashew-epoll is cashew where io_uring is not to be had, or not wanted")
            }
            Kind::Beside => Some("beside is another build of cashew, or cashew started otherwise"),
            Kind::Nutcracker | Kind::Cashew => None,
        }
    }
}

/// Programs to use instead of those that would be looked for, or built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    /// This project's.
    pub(crate) cashew: Option<PathBuf>,
    /// Another cashew, to be compared with it.
    pub(crate) beside: Option<PathBuf>,
    /// Envoy.
    pub(crate) envoy: Option<PathBuf>,
    /// memcached, compiled with its proxy.
    pub(crate) mcproxy: Option<PathBuf>,
}

/// A proxy that is there to be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// Which.
    pub(crate) kind: Kind,
    /// Its program; empty for `direct`.
    pub(crate) path: PathBuf,
}

/// What was found of the proxies that are to run.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) programs: Vec<Program>,
    /// Name and version of each that tells it.
    pub(crate) versions: Vec<(String, String)>,
    /// A sentence for each that is not there.
    pub(crate) missing: Vec<String>,
}

impl Program {
    /// Those of these kinds that can be had, with their versions; what cannot is said.
    pub(crate) fn find_all(kinds: &[Kind], paths: &Paths) -> Found {
        let mut found = Found::default();
        for &kind in kinds {
            match Program::find(kind, paths) {
                Ok(program) => {
                    found.versions.extend(program.version().map(|version| (kind.name().to_owned(), version)));
                    found.programs.push(program);
                }
                Err(error) => found.missing.push(format!("{} left out: {error:#}", kind.name())),
            }
        }
        found
    }

    /// Finds the program of a proxy; cashew is built unless its path is given.
    ///
    /// # Errors
    /// When it is not installed or cannot be built.
    pub(crate) fn find(kind: Kind, paths: &Paths) -> Result<Self> {
        let given = match kind {
            Kind::Cashew | Kind::CashewEpoll => &paths.cashew,
            Kind::Beside => &paths.beside,
            Kind::Envoy => &paths.envoy,
            Kind::Mcproxy => &paths.mcproxy,
            Kind::Direct | Kind::Haproxy | Kind::Nutcracker => &None,
        };
        let path = match (kind, given) {
            (Kind::Direct, _) => PathBuf::new(),
            (_, Some(path)) => {
                ensure!(path.is_file(), "{} is not a file", path.display());
                path.to_owned()
            }
            (Kind::Cashew | Kind::CashewEpoll, None) => build_cashew()?,
            (Kind::Beside, None) => bail!("--beside says which program that is"),
            (Kind::Mcproxy, None) => find_program("memcached").context("memcached is not installed")?,
            (_, None) => find_program(kind.name()).context("not installed")?,
        };
        if kind == Kind::Mcproxy {
            let help = Command::new(&path).arg("-h").output().context("running memcached")?;
            let knows = String::from_utf8_lossy(&help.stdout).contains("proxy_config");
            ensure!(knows, "{} is compiled without the proxy", path.display());
        }
        Ok(Self { kind, path })
    }

    /// What it says of its version, if anything.
    pub(crate) fn version(&self) -> Option<String> {
        let flag = match self.kind {
            // It is cashew, which tells.
            Kind::Direct | Kind::CashewEpoll => return None,
            Kind::Haproxy => "-v",
            Kind::Envoy => "--version",
            Kind::Nutcracker | Kind::Cashew | Kind::Beside | Kind::Mcproxy => "-V",
        };
        let text = version_of(&self.path, flag);
        // Envoy says PATH version: COMMIT/VERSION/...
        let short =
            text.split('/').rev().nth(3).filter(|_| self.kind == Kind::Envoy).map(|it| format!("envoy {it}"));
        Some(short.unwrap_or(text))
    }

    /// Why it cannot take part in a scenario, beside not speaking its protocol.
    pub(crate) fn cannot(&self, scenario: &Scenario) -> Option<String> {
        let most = haproxy_clients();
        (self.kind == Kind::Haproxy && scenario.connections() as u64 > most).then(|| {
            let name = scenario.name();
            let most = grouped(most);
            format!("haproxy left out of {name}: it needs two descriptors per client, which allows {most} clients here (ulimit -Hn)")
        })
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
        // Envoy goes by the ending, the others do not mind.
        let config = dir.join(format!("{name}.yaml"));
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
            Kind::Envoy => start(&|port, _| {
                std::fs::write(&config, envoy_config(port, &servers))?;
                let mut command = Command::new(&self.path);
                command.arg("-c").arg(&config).args([
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "-l",
                    "error",
                ]);
                Ok(command)
            }),
            Kind::Mcproxy => start(&|port, _| {
                std::fs::write(&config, mcproxy_config(&servers))?;
                let mut command = Command::new(&self.path);
                memcached_arguments(&mut command, port);
                command.arg("-o").arg(format!("proxy_config={}", config.display()));
                Ok(command)
            }),
            Kind::Nutcracker | Kind::Cashew | Kind::CashewEpoll | Kind::Beside => start(&|port, stats| {
                std::fs::write(&config, pool_config(port, protocol, &servers))?;
                let mut command = Command::new(&self.path);
                command.arg("-c").arg(&config).args(["-a", "127.0.0.1", "-s", &stats.to_string()]);
                if self.kind == Kind::CashewEpoll {
                    command.env("CASHEW_IO", "epoll");
                }
                if self.kind != Kind::Nutcracker {
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
    (1..=SERVERS).map(|number| start_server(protocol, number, dir, stop)).collect()
}

/// Starts one server.
///
/// # Errors
/// When the program is missing or does not come up.
pub(crate) fn start_server(
    protocol: Protocol,
    number: usize,
    dir: &Path,
    stop: &AtomicBool,
) -> Result<Process> {
    let (name, _) = server_program(protocol);
    let program = find_program(name).with_context(|| format!("{name} is not installed"))?;
    Process::start(&format!("{name}{number}"), dir, stop, |port, _| {
        let mut command = Command::new(&program);
        server_arguments(&mut command, protocol, port, dir);
        Ok(command)
    })
}

/// What a server of the bench is started with.
pub(crate) fn server_arguments(command: &mut Command, protocol: Protocol, port: u16, dir: &Path) {
    match protocol {
        Protocol::Redis => {
            let port = port.to_string();
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
            command
                .args(["--daemonize", "no", "--io-threads", "1", "--maxclients", CLIENTS_MAX, "--dir"])
                .arg(dir);
        }
        Protocol::Memcached => memcached_arguments(command, port),
    }
}

fn memcached_arguments(command: &mut Command, port: u16) {
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-t", "1"]);
    command.args(["-m", "256", "-I", "8m", "-c", CLIENTS_MAX]);
    if rustix::process::getuid().is_root() {
        // It refuses to run as root.
        command.args(["-u", "nobody"]);
    }
}

const SERVERS: usize = 4;
/// More than any scenario has clients.
const CLIENTS_MAX: &str = "15000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, kind) in KINDS {
            assert_eq!(Kind::parse(name).unwrap(), kind);
            assert_eq!(kind.name(), name);
        }
        assert!(Kind::parse("squid").is_err());
    }

    #[test]
    fn who_takes_part() {
        assert!(Kind::Envoy.speaks(Protocol::Redis) && !Kind::Envoy.speaks(Protocol::Memcached));
        assert!(KINDS.iter().filter(|(_, kind)| kind.speaks(Protocol::Memcached)).count() == 7);
        let haproxy = Program { kind: Kind::Haproxy, path: PathBuf::new() };
        let crowd = Scenario { idle: 20_000, ..crate::scenario::USUAL };
        assert!(haproxy.cannot(&crowd).is_some_and(|why| why.contains("redis-get-idle20000")));
        assert_eq!(haproxy.cannot(&crate::scenario::USUAL), None);
    }
}
