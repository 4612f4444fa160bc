//! The processes: servers that can be killed and come back on their port, and the proxy with its four pools.

use crate::chaos::{POOLS, SERVERS};
use crate::data::Rng;
use crate::process::{Process, find_program};
use crate::proxies::{Kind, Program, server_arguments, server_program};
use crate::scenario::Protocol;
use anyhow::{Context as _, Result, bail, ensure};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// One server, which keeps its port for as long as the run lasts.
#[derive(Debug)]
pub(crate) struct Server {
    protocol: Protocol,
    name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Itself; nothing while it is dead.
    pub(crate) process: Option<Process>,
}

impl Server {
    /// Starts one on `port`.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(
        protocol: Protocol,
        number: usize,
        port: u16,
        dir: &Path,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let name = format!("{}{}", server_program(protocol).0, number + 1);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { protocol, name, address, process: None };
        server.restart(dir, stop)?;
        Ok(server)
    }

    /// Starts it again, empty.
    ///
    /// # Errors
    /// When it does not come up within a few attempts: its port may be in use for a moment.
    pub(crate) fn restart(&mut self, dir: &Path, stop: &AtomicBool) -> Result<()> {
        let (program, _) = server_program(self.protocol);
        let program = find_program(program).with_context(|| format!("{program} is not installed"))?;
        let attempt = || {
            let mut command = Command::new(&program);
            server_arguments(&mut command, self.protocol, self.address.port(), dir);
            Process::start_on(&self.name, dir, stop, self.address.port(), command)
        };
        self.process = Some(attempt().or_else(|_| attempt()).or_else(|_| attempt())?);
        Ok(())
    }

    /// Sends commands to a redis, past the proxy, and answers each one's first line. The connection is handed
    /// back, so that it can be kept open.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn ask(&self, commands: &[&str]) -> Result<(Vec<String>, TcpStream)> {
        let mut socket = TcpStream::connect_timeout(&self.address, DIRECT_TIME)?;
        socket.set_read_timeout(Some(DIRECT_TIME))?;
        let mut reader = BufReader::new(socket.try_clone()?);
        let mut lines = Vec::new();
        for command in commands {
            // In one write: in two, the second would wait for the first to be acknowledged.
            socket.write_all(format!("{command}\r\n").as_bytes())?;
            let mut line = String::new();
            reader.read_line(&mut line).with_context(|| format!("{command} to {}", self.name))?;
            lines.push(line.trim_end().to_owned());
        }
        Ok((lines, socket))
    }
}

/// The proxy under test.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Itself.
    pub(crate) process: Process,
    /// Where each pool listens.
    pub(crate) pools: Vec<SocketAddr>,
    stats: SocketAddr,
    /// Its log file.
    pub(crate) log: PathBuf,
}

impl Proxy {
    /// Starts one; `servers[pool * SERVERS + server]` is where it finds that server.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(
        program: &Program,
        servers: &[SocketAddr],
        threads: u32,
        dir: &Path,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let name = program.kind.name();
        let ports = free_ports(POOLS.len() + 1)?;
        let (config, log) = (dir.join(format!("{name}.conf")), dir.join(format!("{name}-o.log")));
        std::fs::write(&config, configuration(&ports, servers))?;
        // Its own limit, so that it can be exhausted. prlimit becomes the proxy, so the process id stays.
        let mut command = match find_program("prlimit") {
            Some(prlimit) => {
                let mut command = Command::new(prlimit);
                command.arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")).arg(&program.path);
                command
            }
            None => Command::new(&program.path),
        };
        let stats = ports[POOLS.len()];
        command.arg("-c").arg(&config).arg("-o").arg(&log);
        command.args(["-a", "127.0.0.1", "-s", &stats.to_string(), "-i", "100"]);
        match program.kind {
            Kind::Cashew | Kind::CashewEpoll => _ = command.args(["--threads", &threads.to_string()]),
            // Packages compile in a path below /run.
            Kind::Nutcracker => _ = command.arg("-p").arg(dir.join("nutcracker.pid")),
            Kind::Direct | Kind::Haproxy | Kind::Beside | Kind::Envoy | Kind::Mcproxy => {
                bail!("{name} takes no part in chaos")
            }
        }
        if program.kind == Kind::CashewEpoll {
            command.env("CASHEW_IO", "epoll");
        }
        let process = Process::start_on(name, dir, stop, ports[0], command)?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pools = ports[..POOLS.len()].iter().map(|&port| address(port)).collect();
        Ok(Self { process, pools, stats: address(stats), log })
    }

    /// What it says of its servers on the stats port.
    ///
    /// # Errors
    /// When the stats port does not answer.
    pub(crate) fn standing(&self) -> Result<Standing> {
        let mut text = String::new();
        let mut socket = TcpStream::connect_timeout(&self.stats, DIRECT_TIME)?;
        socket.set_read_timeout(Some(DIRECT_TIME))?;
        socket.read_to_string(&mut text).context("the stats port")?;
        let stats: serde_json::Value = serde_json::from_str(&text).context("the stats port")?;
        let each = |field: &str| -> PerServer {
            std::array::from_fn(|pool| {
                let pool = &stats[POOLS[pool].name];
                let server = |number| &pool[format!("server{}", number + 1)];
                std::array::from_fn(|number| server(number)[field].as_u64().unwrap_or(0))
            })
        };
        Ok(Standing { ejected_at: each("server_ejected_at"), requests: each("requests") })
    }
}

/// A figure for each server of each pool.
pub(crate) type PerServer = [[u64; SERVERS]; POOLS.len()];

/// A proxy's statistics, as far as they matter here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// When each server was last ejected: microseconds, 0 for never.
    pub(crate) ejected_at: PerServer,
    /// How many requests it was sent.
    pub(crate) requests: PerServer,
}

/// The same file for every proxy.
fn configuration(ports: &[u16], servers: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (number, (pool, port)) in POOLS.iter().zip(ports).enumerate() {
        let redis = pool.protocol == Protocol::Redis;
        write!(
            text,
            "{}:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  hash_tag: \"{{}}\"\n  distribution: ketama\n  \
             redis: {redis}\n  timeout: 400\n  preconnect: true\n  auto_eject_hosts: {}\n  \
             server_retry_timeout: 2000\n  server_failure_limit: 2\n  server_connections: 1\n  servers:\n",
            pool.name, pool.ejects
        )
        .expect("a String takes all");
        for (at, server) in servers.iter().skip(number * SERVERS).take(SERVERS).enumerate() {
            writeln!(text, "    - {server}:1 server{}", at + 1).expect("a String takes all");
        }
    }
    text
}

/// Finds out, by trying, which hash tags bring a key to which server: names and ring are the same in all pools.
///
/// # Errors
/// When the proxy or a server does not answer, or a server gets hardly any.
pub(crate) fn find_tags(proxy: &Proxy, redis: &[Server]) -> Result<[Vec<String>; SERVERS]> {
    // Random, because fnv1a_64 brings words that differ in their last letters to the same server.
    let mut rng = Rng::new(1);
    let tags: Vec<String> = (0..TAGS).map(|_| format!("{:016x}", rng.next())).collect();
    let mut socket = TcpStream::connect(proxy.pools[0])?;
    socket.set_read_timeout(Some(DIRECT_TIME))?;
    let mut reader = BufReader::new(socket.try_clone()?);
    for tag in &tags {
        let mut out = Vec::new();
        crate::chaos::ask::words(&["SET", &format!("{{{tag}}}"), "x"], &mut out);
        socket.write_all(&out)?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(line == "+OK\r\n", "SET brought '{}'", line.trim_end());
    }
    let mut found: [Vec<String>; SERVERS] = Default::default();
    for (server, found) in redis.iter().zip(&mut found) {
        let commands: Vec<String> = tags.iter().map(|tag| format!("EXISTS {{{tag}}}")).collect();
        let (lines, _) = server.ask(&commands.iter().map(String::as_str).collect::<Vec<_>>())?;
        found.extend(tags.iter().zip(lines).filter(|(_, line)| line == ":1").map(|(tag, _)| tag.clone()));
        ensure!(found.len() >= TAGS / SERVERS / 4, "{} got {} of {TAGS} keys", server.name, found.len());
    }
    Ok(found)
}

/// Ports below those that the kernel gives to outgoing connections: nobody takes one while its server is dead.
///
/// # Errors
/// When hardly any is free.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    // Two runs at once begin elsewhere.
    let begin = 10_000 + (std::process::id() % 200) as u16 * 100;
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = (begin..begin + 2_000).filter(free).take(count).collect();
    ensure!(ports.len() == count, "no {count} ports are free from {begin}");
    Ok(ports)
}

/// A proxy's limit: room for all clients, its own needs, and some more.
const DESCRIPTORS: u32 = 300;
/// More idle clients than any limit leaves room for.
pub(crate) const IDLE_CLIENTS: usize = DESCRIPTORS as usize + 50;
/// Hash tags that are tried.
const TAGS: usize = 64;
/// For what is asked past the proxy.
const DIRECT_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_has_its_own_way_to_the_servers() {
        let servers: Vec<SocketAddr> =
            (0..16).map(|n| SocketAddr::from(([127, 0, 0, 1], 7_000 + n))).collect();
        let text = configuration(&[1, 2, 3, 4, 5], &servers);
        for part in [
            "redis_keep:\n  listen: 127.0.0.1:1\n",
            "memcached_eject:\n  listen: 127.0.0.1:4\n",
            "    - 127.0.0.1:7000:1 server1\n",
            "    - 127.0.0.1:7015:1 server4\n",
            "  hash_tag: \"{}\"\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(text.matches("auto_eject_hosts: true").count(), 2);
    }

    #[test]
    fn ports_are_all_different() {
        let mut ports = free_ports(30).unwrap();
        ports.dedup();
        assert_eq!(ports.len(), 30);
        assert!(ports.iter().all(|port| *port < 32_768));
    }
}
