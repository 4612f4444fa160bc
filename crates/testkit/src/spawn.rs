//! Real servers, started for a test and gone with it.
//!
//! A port is chosen before the server starts (see [`crate::ports`]), so somebody else may get it first.
//! Servers are therefore asked for their process id; one that is not ours, or one that ended at once, means
//! another try.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::client::{Client, resp};
use crate::ports;
use crate::process::Process;
use crate::temp::TempDir;
use crate::wait;

/// A redis server on a free port of 127.0.0.1, without persistence.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
}

impl RedisServer {
    /// Starts one that keeps nothing on disk.
    ///
    /// # Errors
    /// When redis-server is not installed, does not start, or does not answer in time.
    pub fn start() -> io::Result<RedisServer> {
        RedisServer::start_with(&[])
    }

    /// As [`RedisServer::start`], with more arguments, such as `&["--requirepass", "x"]`.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_with(args: &[&str]) -> io::Result<RedisServer> {
        let (process, port) = on_a_free_port(|port| RedisServer::launch(port, args))?;
        Ok(RedisServer { process, port })
    }

    /// Starts one on a port that is known beforehand, such as that of a server which was killed.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_on(port: u16, args: &[&str]) -> io::Result<RedisServer> {
        Ok(RedisServer { process: RedisServer::launch(port, args)?, port })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// The unix socket it listens on as well.
    pub fn socket(&self) -> PathBuf {
        self.process.dir().join("redis.sock")
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it does not accept.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.addr()).expect("the server accepts")
    }

    /// The program that is started: redis-server, or whatever `CASHEW_TEST_REDIS` names, such as another release of it
    /// or valkey-server.
    pub fn program() -> OsString {
        std::env::var_os("CASHEW_TEST_REDIS").unwrap_or_else(|| "redis-server".into())
    }

    /// Whether it is a redis 7.0: what that says is what the proxy says where it answers itself.
    pub fn speaks_7_0() -> bool {
        static SPEAKS: OnceLock<bool> = OnceLock::new();
        *SPEAKS.get_or_init(|| {
            let output = Command::new(RedisServer::program()).arg("--version").output();
            output.is_ok_and(|output| output.stdout.starts_with(b"Redis server v=7.0."))
        })
    }

    fn launch(port: u16, args: &[&str]) -> io::Result<Process> {
        let port_text = port.to_string();
        let base = ["--port", &port_text, "--bind", "127.0.0.1", "--unixsocket", "redis.sock"];
        let quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no"];
        let all: Vec<&str> = base.iter().chain(&quiet).chain(args).copied().collect();
        let mut process = Process::start(RedisServer::program(), all, "apt-get install redis-server")?;
        answers(&mut process, |pid| {
            let mut client = Client::connect_port(port).ok()?;
            client.set_deadline(PROBE);
            client.try_send(&resp(&["INFO", "server"])).ok()?;
            let reply = client.try_resp_reply().ok()?;
            // A server with a password says so and nothing more; it is taken for ours.
            let ours = reply.starts_with(b"-NOAUTH") || contains(&reply, &format!("process_id:{pid}\r\n"));
            (ours || reply.starts_with(b"$")).then_some(ours)
        })?;
        Ok(process)
    }
}

/// A memcached server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Memcached {
    process: Process,
    port: u16,
}

impl Memcached {
    /// Starts one with a single thread and memcached's default limits.
    ///
    /// # Errors
    /// When memcached is not installed, does not start, or does not answer in time.
    pub fn start() -> io::Result<Memcached> {
        Memcached::start_with(&[])
    }

    /// As [`Memcached::start`], with more arguments, such as `&["-m", "16"]`.
    ///
    /// # Errors
    /// As [`Memcached::start`].
    pub fn start_with(args: &[&str]) -> io::Result<Memcached> {
        let (process, port) = on_a_free_port(|port| Memcached::launch(port, args))?;
        Ok(Memcached { process, port })
    }

    /// Starts one on a port that is known beforehand, such as that of a server which was killed.
    ///
    /// # Errors
    /// As [`Memcached::start`].
    pub fn start_on(port: u16, args: &[&str]) -> io::Result<Memcached> {
        Ok(Memcached { process: Memcached::launch(port, args)?, port })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it does not accept.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.addr()).expect("the server accepts")
    }

    fn launch(port: u16, args: &[&str]) -> io::Result<Process> {
        let port_text = port.to_string();
        // It refuses to run as root unless told whom to be; as anybody else -u is ignored.
        let base = ["-p", &port_text, "-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "nobody"];
        let all: Vec<&str> = base.iter().chain(args).copied().collect();
        let mut process = Process::start("memcached", all, "apt-get install memcached")?;
        answers(&mut process, |pid| {
            let mut client = Client::connect_port(port).ok()?;
            client.set_deadline(PROBE);
            client.try_send(b"stats\r\n").ok()?;
            let reply = client.try_memcache_reply().ok()?;
            // With -Y or -S statistics are refused before a login.
            Some(!reply.starts_with(b"STAT") || contains(&reply, &format!("STAT pid {pid}\r\n")))
        })?;
        Ok(process)
    }
}

/// A twemproxy, for comparisons.
#[derive(Debug)]
pub struct Nutcracker {
    process: Process,
    stats_port: u16,
}

impl Nutcracker {
    /// Starts it with a configuration and waits until every `listen` of it accepts.
    ///
    /// # Errors
    /// When nutcracker is not installed, refuses the configuration, or does not accept in time.
    pub fn start(config: &str) -> io::Result<Nutcracker> {
        Nutcracker::start_with(config, &[])
    }

    /// As [`Nutcracker::start`], with more arguments, such as `&["-m", "512"]`.
    ///
    /// # Errors
    /// As [`Nutcracker::start`].
    pub fn start_with(config: &str, args: &[&str]) -> io::Result<Nutcracker> {
        let dir = TempDir::new("nutcracker")?;
        dir.file("nutcracker.yml", config)?;
        let stats_port = ports::free();
        let stats_text = stats_port.to_string();
        let base = ["-c", "nutcracker.yml", "-a", "127.0.0.1", "-s", &stats_text, "-o", "log", "-p", "pid"];
        let all: Vec<&str> = base.iter().chain(args).copied().collect();
        let mut process = Process::start_in(dir, "nutcracker", all, "apt-get install nutcracker")?;
        crate::cashew::accepts(&mut process, config)?;
        Ok(Nutcracker { process, stats_port })
    }

    /// The port of 127.0.0.1 on which it gives its statistics.
    pub fn stats_port(&self) -> u16 {
        self.stats_port
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.text_of("log")
    }
}

macro_rules! is_a_process {
    ($($server:ty),*) => {$(
        impl Deref for $server {
            type Target = Process;
            fn deref(&self) -> &Process {
                &self.process
            }
        }
        impl DerefMut for $server {
            fn deref_mut(&mut self) -> &mut Process {
                &mut self.process
            }
        }
    )*};
}
is_a_process!(RedisServer, Memcached, Nutcracker);

/// Tries a few ports, because a free one may be gone by the time the server binds it.
fn on_a_free_port(launch: impl Fn(u16) -> io::Result<Process>) -> io::Result<(Process, u16)> {
    let mut tries = 0;
    loop {
        let port = ports::free();
        tries += 1;
        match launch(port) {
            Ok(process) => return Ok((process, port)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until `ask` says that the process with this id answers. `AddrInUse` when another one does.
fn answers(process: &mut Process, ask: impl Fn(u32) -> Option<bool>) -> io::Result<()> {
    let pid = process.pid();
    let ours = wait::for_some("the server to answer", || match process.exited() {
        Some(_) => Some(false),
        None => ask(pid),
    });
    match ours {
        Ok(true) => Ok(()),
        Ok(false) if process.exited().is_none() || contains(process.output().as_bytes(), "in use") => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody else listens on the chosen port"))
        }
        Ok(false) => Err(io::Error::other(format!("the server ended at once\n{}", process.output()))),
        Err(e) => Err(io::Error::new(e.kind(), format!("{e}\n{}", process.output()))),
    }
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// How long one probe waits for its answer, so that a stranger who accepts and never answers is noticed.
const PROBE: Duration = Duration::from_millis(500);
/// How many ports to try.
const TRIES: usize = 5;
