//! What a configuration means, checked: after this nobody asks again.
//!
//! Values carry their unit in the type, alternatives are enums, and what must exist does.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use placement::{DistributionKind, HashKind, HashTag};

use crate::check;
use crate::units::{Bytes, Millis};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// At least one pool, in twemproxy's order: shorter names first, then bytewise.
    pub pools: Vec<Pool>,
    /// What the file says about the process; flags win over it, see [`Process::new`].
    pub process: ProcessSection,
}

/// A pool: one listening address in front of servers that share the keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The pool's name, unique in the file.
    pub name: String,
    /// Where clients connect.
    pub listen: Listen,
    /// What clients and servers speak.
    pub protocol: Protocol,
    /// How a key becomes a number.
    pub hash: HashKind,
    /// What part of a key counts, if not all of it.
    pub hash_tag: Option<HashTag>,
    /// How the number chooses a server.
    pub distribution: DistributionKind,
    /// How long a request may wait for its reply.
    pub timeout: Timeout,
    /// Length of the queue of clients not yet accepted.
    pub backlog: u32,
    /// The most clients at once; 0 for no limit of its own.
    pub client_connections: u32,
    /// Password asked of clients and sent to servers; redis pools only.
    pub redis_auth: Option<String>,
    /// Database to select on the servers.
    pub redis_db: u32,
    /// Whether clients may not select another.
    pub redis_db_fixed: bool,
    /// The version of redis that clients are told: three numbers with points between.
    pub redis_version: String,
    /// Keep-alive probes on client connections.
    pub tcpkeepalive: bool,
    /// Share the listening address with other processes.
    pub reuseport: bool,
    /// Connect to the servers at start.
    pub preconnect: bool,
    /// The most connections to one server, at least 1.
    pub server_connections: u32,
    /// How long an ejected server stays out.
    pub server_retry_timeout: Millis,
    /// Failures in a row that eject a server, at least 1.
    pub server_failure_limit: u32,
    /// At least one server, in twemproxy's order: shorter names first, then bytewise. Placement depends on it.
    /// Behind them, in the same order, those of the standby, where there is one.
    pub servers: Vec<Server>,
    /// What happens to the keys of a server that fails.
    pub on_failure: OnFailure,
    /// What happens to a server's old data before it serves again.
    pub on_return: OnReturn,
    /// What clients read while a server is known to be down or drained; `None`: the reason.
    pub error_text: Option<String>,
    /// Names of redis commands that clients may not use, as they were written.
    pub disable: Vec<String>,
    /// What becomes of redis commands that are not known.
    pub unknown_commands: UnknownCommands,
    /// The most servers, in percent, that may be out at once.
    pub max_ejected_percent: u32,
    /// Answer at once for a server that is known to fail, until a probe succeeds.
    pub fail_fast: bool,
    /// Send gets of single keys that wait for the same server as one; memcached pools only.
    pub join_gets: bool,
    /// Send a read once more when its connection broke.
    pub retry_reads: bool,
    /// What a multi-get answers when one of its servers fails.
    pub partial: Partial,
    /// How long connecting may take; `None`: as long as its requests may wait.
    pub connect_timeout: Option<Millis>,
    /// How long a server connection may be idle; `None` is for ever, and never 0.
    pub server_idle_timeout: Option<Millis>,
    /// How long a client may be idle; `None` is for ever, and never 0.
    pub client_idle_timeout: Option<Millis>,
    /// The largest request a client may send.
    pub max_request_size: Bytes,
    /// The largest reply a server may send.
    pub max_reply_size: Bytes,
    /// Values from this size on are passed on as they come.
    pub stream_from: Bytes,
    /// Unanswered requests of one client at which reading from it pauses, at least 1.
    pub client_max_pipeline: u32,
    /// Server connections that the clients of one worker may have to themselves.
    pub pinned_connections: u32,
    /// Whether the pool passes for a redis cluster.
    pub cluster_emulation: ClusterEmulation,
    /// What becomes of reads whose keys are on several servers.
    pub cross_server: CrossServer,
    /// Bytes that may be fetched for one of them.
    pub gather_limit: Bytes,
    /// Bytes of unanswered requests of one client at which reading from it pauses.
    pub client_request_limit: Bytes,
    /// Unread bytes of replies at which reading from that client pauses.
    pub client_output_limit: Bytes,
    /// Unread bytes of replies at which a client that is owed more is closed.
    pub client_output_hard_limit: Bytes,
}

/// Whether a pool passes for a redis cluster of one server that has all slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEmulation {
    /// It does not.
    Off,
    /// At the address that a client is connected to.
    Here,
    /// At this host and port.
    At(String, u16),
}

/// What becomes of redis commands that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCommands {
    /// An error.
    Refuse,
    /// What the servers say of them.
    Learn,
}

/// How long a request may wait for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// For ever.
    Never,
    /// So long, and never 0.
    After(Millis),
    /// As long as is right for each server by what it has taken lately.
    Auto {
        /// At least so long.
        min: Millis,
        /// At most so long, not less than `min`.
        max: Millis,
    },
}

/// What a pool speaks, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP, as redis does.
    Redis,
    /// The memcached protocol.
    Memcache,
}

/// What happens to the keys of a server that fails or is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They are spread over the others until it is back.
    Eject,
    /// They stay, and their requests get an error.
    Error,
    /// The servers marked `standby` take them until it is back; what is written there lives so long at most.
    Standby(Millis),
}

impl OnFailure {
    /// Whether failing servers are taken out for a while.
    pub fn ejects(self) -> bool {
        self != OnFailure::Error
    }
}

/// What happens to a server's old data before it serves again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReturn {
    /// Nothing: what changed meanwhile reverts.
    Keep,
    /// All of it goes.
    Flush,
    /// The keys that were written elsewhere meanwhile go.
    Invalidate,
}

/// What becomes of reads whose keys are on several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossServer {
    /// They are refused.
    Refuse,
    /// The values are fetched and the answer is made here.
    Gather,
}

/// What a multi-get answers for the keys of a server that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// The whole request fails.
    Error,
    /// They are misses.
    Miss,
}

/// Where a pool listens. Prints as the operator wrote it, without a socket's mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port.
    Tcp {
        /// As written in the file.
        text: String,
        /// What it resolved to.
        addr: SocketAddr,
    },
    /// A unix socket.
    Unix {
        /// At most 107 bytes, no NUL.
        path: PathBuf,
        /// Permissions to set, up to 0o777; `None` leaves what the umask gives.
        mode: Option<u32>,
    },
}

/// A server of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The name that decides its share of the keys, unique in the pool. May be empty: twemproxy allows it. A
    /// standby's has [`STANDBY_PREFIX`] in front, which placement does not see.
    pub name: String,
    /// Its share against the others', at least 1.
    pub weight: u32,
    /// Where it is.
    pub address: Address,
    /// Whether it has no keys of its own and takes those of servers that are away.
    pub standby: bool,
}

/// What the names of standby servers begin with: a pool that is another's standby may have servers of the same
/// names.
pub const STANDBY_PREFIX: &str = "standby:";

/// Where a server is. Prints as `host:port` (IPv6 in brackets) or the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A name that is resolved when a connection is opened. Not checked: it may turn out not to resolve.
    Name {
        /// The host as written.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// By what workers read and write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// io_uring where the kernel has it for this process, else epoll.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring or nothing: without it the process does not go on.
    IoUring,
}

impl Io {
    /// What a configuration calls it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "epoll" => Some(Self::Epoll),
            "io_uring" => Some(Self::IoUring),
            _ => None,
        }
    }
}

/// Settings of the process, each `None` where nothing was said. Both the `cashew:` section of the file and
/// the command line's flags end up in one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSection {
    /// Log level, 0 to 11.
    pub verbose: Option<u8>,
    /// Log file.
    pub output: Option<PathBuf>,
    /// Stats port.
    pub stats_port: Option<u16>,
    /// Address or name of the stats port; a unix socket if it starts with `/`.
    pub stats_addr: Option<String>,
    /// twemproxy's aggregation interval.
    pub stats_interval: Option<Millis>,
    /// By what workers read and write.
    pub io: Option<Io>,
    /// Bytes that buffers may take.
    pub max_memory: Option<Bytes>,
    /// Unix socket for `cashew ctl`.
    pub control_socket: Option<PathBuf>,
    /// File for the process id.
    pub pid_file: Option<PathBuf>,
    /// twemproxy's buffer size in bytes, 512 to 16777216.
    pub mbuf_size: Option<u32>,
    /// Run in the background.
    pub daemonize: Option<bool>,
    /// Worker threads; 0 for one per processor.
    pub threads: Option<u32>,
}

/// Settings of the process with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Log level, 0 to 11.
    pub verbose: u8,
    /// Log file; `None` is standard error.
    pub output: Option<PathBuf>,
    /// Stats port.
    pub stats_port: u16,
    /// Address or name of the stats port; a unix socket if it starts with `/`.
    pub stats_addr: String,
    /// twemproxy's aggregation interval.
    pub stats_interval: Millis,
    /// By what workers read and write.
    pub io: Io,
    /// Bytes that buffers may take, all workers together.
    pub max_memory: Bytes,
    /// Unix socket for `cashew ctl`.
    pub control_socket: Option<PathBuf>,
    /// File for the process id.
    pub pid_file: Option<PathBuf>,
    /// twemproxy's buffer size in bytes.
    pub mbuf_size: u32,
    /// Run in the background.
    pub daemonize: bool,
    /// Worker threads; 0 for one per processor.
    pub threads: u32,
}

impl Pool {
    /// The servers that have keys of their own.
    pub fn own_servers(&self) -> &[Server] {
        let own = self.servers.iter().position(|server| server.standby).unwrap_or(self.servers.len());
        &self.servers[..own]
    }
}

impl Server {
    /// The name that placement sees.
    pub fn placed_name(&self) -> &str {
        let plain = self.name.strip_prefix(STANDBY_PREFIX).filter(|_| self.standby);
        plain.unwrap_or(&self.name)
    }
}

impl Timeout {
    /// The longest that a request may wait, if there is a bound: what holds until more is known of a server.
    pub fn longest(self) -> Option<Millis> {
        match self {
            Self::Never => None,
            Self::After(timeout) | Self::Auto { max: timeout, .. } => Some(timeout),
        }
    }
}

impl ProcessSection {
    /// What `self` says, and where it says nothing, what `other` says.
    pub fn or(self, other: Self) -> Self {
        Self {
            verbose: self.verbose.or(other.verbose),
            output: self.output.or(other.output),
            stats_port: self.stats_port.or(other.stats_port),
            stats_addr: self.stats_addr.or(other.stats_addr),
            stats_interval: self.stats_interval.or(other.stats_interval),
            io: self.io.or(other.io),
            max_memory: self.max_memory.or(other.max_memory),
            control_socket: self.control_socket.or(other.control_socket),
            pid_file: self.pid_file.or(other.pid_file),
            mbuf_size: self.mbuf_size.or(other.mbuf_size),
            daemonize: self.daemonize.or(other.daemonize),
            threads: self.threads.or(other.threads),
        }
    }
}

impl Process {
    /// A flag wins over the file, the file over the default.
    pub fn new(flags: ProcessSection, file: ProcessSection) -> Self {
        const DEFAULT: &str = "the options table has a default for it";
        let said = flags.or(file).or(check::process_defaults());
        Self {
            verbose: said.verbose.expect(DEFAULT),
            output: said.output,
            stats_port: said.stats_port.expect(DEFAULT),
            stats_addr: said.stats_addr.expect(DEFAULT),
            stats_interval: said.stats_interval.expect(DEFAULT),
            io: said.io.expect(DEFAULT),
            max_memory: said.max_memory.expect(DEFAULT),
            control_socket: said.control_socket,
            pid_file: said.pid_file,
            mbuf_size: said.mbuf_size.expect(DEFAULT),
            daemonize: said.daemonize.expect(DEFAULT),
            threads: said.threads.expect(DEFAULT),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { text, .. } => f.write_str(text),
            Self::Unix { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => write!(f, "{addr}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let flags = ProcessSection { verbose: Some(7), ..Default::default() };
        let file = ProcessSection { verbose: Some(2), stats_port: Some(1234), ..Default::default() };
        let process = Process::new(flags, file);
        assert_eq!((process.verbose, process.stats_port, process.threads), (7, 1234, 0));
        assert_eq!((process.stats_addr.as_str(), process.mbuf_size), ("0.0.0.0", 16384));
        assert_eq!((process.stats_interval, process.output), (Millis(30_000), None));
    }
}
