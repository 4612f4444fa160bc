//! The servers and the proxies: how each is started, and its configuration. The configurations are equivalent:
//! the same four servers, one worker thread, one connection per server where the proxy shares them.

use crate::process::{Process, find_program, version_of};
use crate::report::grouped;
use crate::scenario::{Protocol, Scenario};
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
    /// Envoy with its redis proxy.
    Envoy,
    /// memcached as a proxy of other memcached.
    Mcproxy,
    /// nutcracker (twemproxy).
    Nutcracker,
    /// This project.
    Cashew,
}

/// Every kind by name, in the order of rounds; the first that others are compared with is nutcracker.
pub(crate) const KINDS: [(&str, Kind); 6] = [
    ("nutcracker", Kind::Nutcracker),
    ("cashew", Kind::Cashew),
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
            Kind::Direct | Kind::Haproxy | Kind::Nutcracker | Kind::Cashew => true,
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
            Kind::Nutcracker | Kind::Cashew => None,
        }
    }
}

/// Programs to use instead of those that would be looked for, or built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    /// This project's.
    pub(crate) cashew: Option<PathBuf>,
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

impl Program {
    /// Finds the program of a proxy; cashew is built unless its path is given.
    ///
    /// # Errors
    /// When it is not installed or cannot be built.
    pub(crate) fn find(kind: Kind, paths: &Paths) -> Result<Self> {
        let given = match kind {
            Kind::Cashew => &paths.cashew,
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
            (Kind::Cashew, None) => build_cashew()?,
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

    /// What it says of its version; `None` for `direct`.
    pub(crate) fn version(&self) -> Option<String> {
        let flag = match self.kind {
            Kind::Direct => return None,
            Kind::Haproxy => "-v",
            Kind::Envoy => "--version",
            Kind::Nutcracker | Kind::Cashew | Kind::Mcproxy => "-V",
        };
        let text = version_of(&self.path, flag);
        // Envoy begins with its path.
        Some(if self.kind == Kind::Envoy {
            text.rsplit(' ').next().unwrap_or_default().to_owned()
        } else {
            text
        })
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

/// Envoy's redis proxy over the same servers. It sends each request as it comes, which is its default.
fn envoy_config(port: u16, servers: &[SocketAddr]) -> String {
    let address = |address: SocketAddr| {
        format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
    };
    let mut text = format!(
        r#"static_resources:
  listeners:
  - name: bench
    address: {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{ op_timeout: 5s }}
          prefix_routes: {{ catch_all_route: {{ cluster: bench }} }}
  clusters:
  - name: bench
    type: STATIC
    connect_timeout: 5s
    lb_policy: MAGLEV
    load_assignment:
      cluster_name: bench
      endpoints:
      - lb_endpoints:
"#,
        address((std::net::Ipv4Addr::LOCALHOST, port).into())
    );
    for &server in servers {
        writeln!(text, "        - endpoint: {{ address: {} }}", address(server)).expect("a String takes all");
    }
    text
}

/// memcached's own proxy over the same servers: all commands go to the pool, which hashes keys.
fn mcproxy_config(servers: &[SocketAddr]) -> String {
    let mut text = "function mcp_config_pools(old)\n    return mcp.pool({\n".to_owned();
    for (at, server) in servers.iter().enumerate() {
        let (ip, port) = (server.ip(), server.port());
        writeln!(text, "        mcp.backend('server{}', '{ip}', {port}),", at + 1)
            .expect("a String takes all");
    }
    text + "    })\nend\n\nfunction mcp_config_routes(pool)\n    \
            mcp.attach(mcp.CMD_ANY_STORAGE, function(request) return pool(request) end)\nend\n"
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
/// More than any scenario has.
const HAPROXY_CLIENTS_MAX: u64 = 15_000;
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
        assert!(Kind::parse("squid").is_err());
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
        let envoy = envoy_config(22_123, &servers);
        let endpoint =
            "- endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 7002 } } }\n";
        assert!(envoy.contains("port_value: 22123 } }\n") && envoy.ends_with(endpoint), "{envoy}");
        assert!(mcproxy_config(&servers).contains("mcp.backend('server2', '127.0.0.1', 7002),\n"));
    }

    #[test]
    fn who_takes_part() {
        assert!(Kind::Envoy.speaks(Protocol::Redis) && !Kind::Envoy.speaks(Protocol::Memcached));
        assert!(KINDS.iter().filter(|(_, kind)| kind.speaks(Protocol::Memcached)).count() == 5);
        let haproxy = Program { kind: Kind::Haproxy, path: PathBuf::new() };
        let crowd = Scenario { idle: 20_000, ..crate::scenario::USUAL };
        assert!(haproxy.cannot(&crowd).is_some_and(|why| why.contains("redis-get-idle20000")));
        assert_eq!(haproxy.cannot(&crate::scenario::USUAL), None);
    }
}
