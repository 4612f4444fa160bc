//! Every option of the configuration file, one row each.
//!
//! The check, its messages, the suggestions for misspelt keys and `docs/config.md` all read these rows.
//! To add an option: a row here, a field in `settings.rs`, a line in `check.rs`. Defaults are texts that go
//! through the same reading as the file's own, so what the documentation says is what happens.

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The key as written in the file.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What a plain number counts; empty where the value is not a number.
    pub unit: &'static str,
    /// The value when the key is absent, as it would be written; empty for none.
    pub default: &'static str,
    /// Who understands the key.
    pub origin: Origin,
    /// What it does, for an operator.
    pub help: &'static str,
}

/// What values an option takes. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the bounds of each kind speak for themselves")]
pub enum Kind {
    /// `host:port` or `/path [mode]`.
    Listen,
    /// A list of `host:port:weight [name]` or `/path:weight [name]`.
    Servers,
    /// The name of a hash.
    Hash,
    /// Two bytes that enclose the part of a key that counts.
    HashTag,
    /// The name of a distribution.
    Distribution,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// Decimal digits only.
    Number { min: u64, max: u64 },
    /// Decimal digits only, or this word.
    NumberOr { word: &'static str, min: u64, max: u64 },
    /// Digits, or digits with `ms`, `s`, `m` or `h`.
    Duration { min: u64, max: u64 },
    /// Digits, or digits with `b`, `kb`, `mb` or `gb`.
    Size { min: u64, max: u64 },
    /// Names of redis commands.
    Commands,
    /// Any text.
    Text,
    /// A file's path.
    Path,
}

/// Who understands an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// twemproxy has it too, in this place.
    Twemproxy,
    /// Only Cashew has it; twemproxy refuses a file that uses it.
    Cashew,
}

/// The top-level section that holds the settings of the process instead of a pool.
pub const PROCESS_SECTION: &str = "cashew";

/// The keys of a pool.
#[rustfmt::skip]
pub const POOL: &[Row] = &[
    row("listen", Listen, "", "", Twemproxy,
        "Where clients connect: `host:port`, or `/path` of a unix socket, optionally followed by a space and its octal mode. Required. The port follows the last colon, so IPv6 may be bare (`::1:22121`) or bracketed (`[::1]:22121`). Names are resolved once, at start."),
    row("servers", Servers, "", "", Twemproxy,
        "The servers of the pool, one per line: `host:port:weight [name]` or `/path:weight [name]`. Required. The name decides which keys a server gets; without one it is `host:port`, only `host` for port 11211, and `/path:` for a unix socket."),
    row("redis", Bool, "", "false", Twemproxy,
        "`true` for the redis protocol, `false` for memcached."),
    row("hash", Hash, "", "fnv1a_64", Twemproxy,
        "How a key becomes a number."),
    row("hash_tag", HashTag, "", "", Twemproxy,
        "Two characters, for example `\"{}\"`. If a key holds both, only the part between them decides where it goes. Quote the value: YAML has its own use for braces."),
    row("distribution", Distribution, "", "ketama", Twemproxy,
        "How that number chooses a server."),
    row("timeout", NumberOr { word: AUTO, min: 0, max: NUMBER_MAX }, "milliseconds", "", Twemproxy,
        "How long a request may wait for its reply, connecting included. 0 or absent: for ever, which lets a stuck server collect requests. `auto` *(new)*: for each server four times the 99.9th percentile of what it has taken lately, between `timeout_auto_min` and `timeout_auto_max`; `timeout_auto_max` until 1000 requests were timed."),
    row("backlog", Number { min: 0, max: NUMBER_MAX }, "connections", "512", Twemproxy,
        "How many clients may wait to be accepted. The kernel cuts it to `net.core.somaxconn`."),
    row("client_connections", Number { min: 0, max: NUMBER_MAX }, "connections", "0", Twemproxy,
        "How many clients may be connected to the pool at once. 0: no limit but the process's descriptors. (twemproxy reads this key and ignores it.)"),
    row("redis_auth", Text, "", "", Twemproxy,
        "Password that clients must send and that is sent to the servers. Redis pools only."),
    row("redis_db", Number { min: 0, max: NUMBER_MAX }, "", "0", Twemproxy,
        "The database that clients are in until they SELECT another. No effect on memcached pools."),
    row("tcpkeepalive", Bool, "", "false", Twemproxy,
        "Keep-alive probes on client connections."),
    row("reuseport", Bool, "", "false", Twemproxy,
        "Lets several processes listen on the same address, the kernel spreading clients over them. (Not in twemproxy 0.5.0, only in its newest source.)"),
    row("preconnect", Bool, "", "false", Twemproxy,
        "Connect to every server at start instead of at the first request."),
    row("auto_eject_hosts", Bool, "", "false", Twemproxy,
        "Take a failing server out for `server_retry_timeout` and spread its keys over the others. For caches; never for a store of record."),
    row("server_connections", Number { min: 1, max: NUMBER_MAX }, "connections", "1", Twemproxy,
        "The connections that each worker thread keeps to a server. All requests of one client to a server use the same one, so they keep their order."),
    row("server_retry_timeout", Number { min: 0, max: NUMBER_MAX }, "milliseconds", "30000", Twemproxy,
        "How long an ejected server stays out."),
    row("server_failure_limit", Number { min: 0, max: NUMBER_MAX }, "failures", "2", Twemproxy,
        "How many failures in a row eject a server. 0 means 1."),
    row("on_failure", OneOf(&["eject", "error", "standby"]), "", "", Cashew,
        "What happens to the keys of a server that fails or is drained: `eject` spreads them over the others until it is back; `error` leaves them where they are and answers an error; `standby` has the server or pool named by `standby` take them until it is back. Default: `eject` with `auto_eject_hosts`, else `error`. It wins over `auto_eject_hosts`."),
    row("standby", Text, "", "", Cashew,
        "With `on_failure: standby`: who takes the keys of a server that is away. A server, `host:port:weight [name]` or `/path:weight [name]`, or the name of another pool of this file, whose servers are meant; that pool must have the same `redis`, `redis_auth` and `redis_db`. Keys are spread over its servers by this pool's `hash`, `hash_tag` and `distribution`. Statistics, log and `cashew ctl` call these servers `standby:NAME`."),
    row("standby_ttl", Duration { min: 1000, max: NUMBER_MAX }, "milliseconds", "10s", Cashew,
        "The longest that a key written at the standby lives there: a longer TTL, or none, becomes this. Whole seconds on memcached pools. A redis at the standby must be redis 7 or valkey."),
    row("on_return", OneOf(&["keep", "flush", "invalidate"]), "", "keep", Cashew,
        "What happens to a server's old data before it serves again, with `on_failure: eject` or `standby`: `keep` leaves it as it is, so that what changed meanwhile reverts; `flush` empties the server; `invalidate` deletes on it every key that was written elsewhere meanwhile, or empties it when they were too many to remember."),
    row("error_text", Text, "", "", Cashew,
        "What clients read, after `-ERR ` or `SERVER_ERROR `, instead of the reason when a server is known to be down or is drained: a text of your own that can be counted."),
    row("disable", Commands, "", "", Cashew,
        "Commands that clients of this pool may not use, for example `keys flushall flushdb scan`: names in any case, separated by spaces or commas. A command with subcommands stands for all of them; a single one is written with a vertical bar between the two names. Redis pools only."),
    row("unknown_commands", OneOf(&["refuse", "learn"]), "", "refuse", Cashew,
        "What becomes of commands that cashew does not know, such as those of modules and of newer releases: redis' own error (`refuse`), or a server of the pool is asked which commands it has, at start and whenever a server is back (`learn`). Those that are learnt go to the server of their keys; what has no key, may wait, or is about the connection or the server itself is refused. Redis pools only."),
    row("redis_db_fixed", Bool, "", "false", Cashew,
        "`true`: clients may not SELECT another database than `redis_db`. `false`: each may select any that the servers have, for itself alone; each database in use takes as many connections to every server as the pool's own. The servers should have equally many databases. Redis pools only."),
    row("redis_version", Text, "", "7.0.15", Cashew,
        "The version of redis that clients are told (HELLO, INFO); client libraries and frameworks go by it to find out what they may use, and some refuse older ones. Say that of the oldest server of the pool, such as `8.0.2`, where they are newer than redis 7.0; it changes nothing else. Redis pools only."),
    row("max_ejected_percent", Number { min: 0, max: 100 }, "percent of the servers", "100", Cashew,
        "With `on_failure: eject` or `standby`, the most servers that may be out at once; further ones stay in and fail."),
    row("fail_fast", Bool, "", "true", Cashew,
        "A server that refuses connections or does not answer is not asked again before it answered a probe; until then its requests get the error at once. `false`: every request tries it."),
    row("join_gets", Bool, "", "true", Cashew,
        "Send the gets of single keys that wait for the same server as one get of up to 64 keys, which costs memcached far less than one by one. `false`: as clients sent them, for a server that is no memcached and minds. Memcached pools only."),
    row("retry_reads", Bool, "", "true", Cashew,
        "Send a read once more, on a fresh connection, when the server's connection broke before any byte of the reply. Writes are never sent twice."),
    row("partial", OneOf(&["error", "miss"]), "", "", Cashew,
        "What MGET, or a memcached get of several keys, answers when one of its servers fails: an `error` for the whole, or a `miss` for that server's keys. Default: `error` for redis, `miss` for memcached. When all its servers fail it is an error."),
    row("timeout_auto_min", Duration { min: 1, max: NUMBER_MAX }, "milliseconds", "100", Cashew,
        "With `timeout: auto`, the shortest timeout. Below some 250 ms one lost packet, which is sent again after 200 ms, is an error."),
    row("timeout_auto_max", Duration { min: 1, max: NUMBER_MAX }, "milliseconds", "2000", Cashew,
        "With `timeout: auto`, the longest timeout, and the one to begin with."),
    row("connect_timeout", Duration { min: 1, max: NUMBER_MAX }, "milliseconds", "", Cashew,
        "How long connecting to a server may take. Absent: as long as the oldest request for it may wait."),
    row("server_idle_timeout", Duration { min: 0, max: NUMBER_MAX }, "milliseconds", "0", Cashew,
        "Close a server connection that was not used for so long. 0: never. Set it below the servers' own idle timeout."),
    row("client_idle_timeout", Duration { min: 0, max: NUMBER_MAX }, "milliseconds", "0", Cashew,
        "Close a client that sent nothing for so long and waits for nothing. 0: never."),
    row("max_request_size", Size { min: 1 << 10, max: SIZE_MAX }, "bytes", "512mb", Cashew,
        "The largest request. A client that announces a larger one is told so and closed, before memory is set aside for it."),
    row("max_reply_size", Size { min: 1 << 10, max: SIZE_MAX }, "bytes", "512mb", Cashew,
        "The largest reply. A server that announces a larger one is treated as broken."),
    row("stream_from", Size { min: 16 << 10, max: SIZE_MAX }, "bytes", "512kb", Cashew,
        "Values from this size on are passed on as they come instead of being collected first, over a connection of their own, so that small requests do not wait for them."),
    row("client_max_pipeline", Number { min: 1, max: 1_000_000 }, "requests", "4096", Cashew,
        "How many requests of one client may be unanswered before reading from it pauses."),
    row("client_request_limit", Size { min: 4 << 10, max: SIZE_MAX }, "bytes", "16mb", Cashew,
        "How many bytes of one client's requests may be unanswered before reading from it pauses. One larger request still passes."),
    row("client_output_limit", Size { min: 4 << 10, max: SIZE_MAX }, "bytes", "1mb", Cashew,
        "How many bytes of replies one client may leave unread before reading from it pauses. It pauses as well while the replies to what it has asked can be expected to take twice that, going by its replies so far."),
    row("pinned_connections", Number { min: 0, max: 1_000_000 }, "connections", "1024", Cashew,
        "How many server connections the clients of one worker thread may have to themselves, for WATCH and blocking commands. A client beyond it reads an error."),
    row("cluster_emulation", Text, "", "false", Cashew,
        "`true`: the pool passes for a redis cluster of one server that has all slots, at the address that a client is connected to, so that clients which only know clusters connect; or `host:port`: the address that they are told, where they reach the proxy by another than it knows of. Set `hash_tag: \"{}\"` with it, else keys that are of one slot may be on several servers. Redis pools only."),
    row("cross_server", OneOf(&["refuse", "gather"]), "", "refuse", Cashew,
        "What becomes of a read whose keys are on several servers: an error (`refuse`), or, for SUNION, SINTER, SDIFF, SINTERCARD, ZUNION, ZINTER, ZDIFF, ZINTERCARD, PFCOUNT and LCS, the proxy fetches the values and makes the answer itself (`gather`). Writes over several servers are always refused. Redis pools only."),
    row("gather_limit", Size { min: 1 << 10, max: 1 << 30 }, "bytes", "1mb", Cashew,
        "With `cross_server: gather`, how many bytes of values may be fetched for one request; more is an error. One megabyte of small members keeps its worker busy for some 20 ms."),
    row("client_output_hard_limit", Size { min: 4 << 10, max: SIZE_MAX }, "bytes", "256mb", Cashew,
        "A client that leaves so many bytes of replies unread, and is owed more, is closed: what it had asked before reading from it paused may be that much."),
];

/// The keys of the `cashew:` section: what twemproxy has only as flags, and what it has not.
#[rustfmt::skip]
pub const PROCESS: &[Row] = &[
    row("threads", Number { min: 0, max: THREADS_MAX }, "threads", "0", Cashew,
        "Worker threads. 0: one per processor. Flag `--threads`."),
    row("verbose", Number { min: 0, max: VERBOSE_MAX }, "", "5", Cashew,
        "How much is logged, from 0 (least) to 11. Flag `-v`."),
    row("output", Path, "", "", Cashew,
        "Log file; absent: standard error. Flag `-o`."),
    row("io", OneOf(&["auto", "epoll", "io_uring"]), "", "auto", Cashew,
        "By which of the kernel's interfaces workers read and write: `io_uring` costs less processor time, needs Linux 6.12 and the permission to use it, which containers often lack; `epoll` works everywhere; `auto` takes io_uring where it is to be had, else epoll, and the log says which. The environment variable `CASHEW_IO` wins over the file."),
    row("max_memory", Size { min: 16 << 20, max: MEMORY_MAX }, "bytes", "1gb", Cashew,
        "How much memory buffers may take, all workers together. At the limit the clients that hold most are not read until enough has drained; one whose unfinished request is what takes the memory gets an error and is closed."),
    row("control_socket", Path, "", "", Cashew,
        "Unix socket on which `cashew ctl` finds the running process. Whoever may write to it may drain servers; its mode is 600."),
    row("pid_file", Path, "", "", Cashew,
        "File to write the process id to. Flag `-p`."),
    row("daemonize", Bool, "", "false", Cashew,
        "Run in the background. Flag `-d`."),
    row("stats_addr", Text, "", "0.0.0.0", Cashew,
        "Address, name or `/path` of the stats port. Flag `-a`."),
    row("stats_port", Number { min: 1, max: 65535 }, "", "22222", Cashew,
        "Port of the stats port. Flag `-s`."),
    row("stats_interval", Duration { min: 0, max: NUMBER_MAX }, "milliseconds", "30000", Cashew,
        "How often twemproxy adds up its statistics. Kept for compatibility. Flag `-i`."),
    row("mbuf_size", Size { min: MBUF_MIN, max: MBUF_MAX }, "bytes", "16384", Cashew,
        "twemproxy's unit of buffering. Kept for compatibility. Flag `-m`."),
];

/// The largest plain number: twemproxy keeps numbers in 32 bits with a sign and wraps around silently, so a
/// larger one never meant what it said.
pub const NUMBER_MAX: u64 = i32::MAX as u64;

/// The largest size limit one may set: 64 GiB, more than any server stores as one value.
pub const SIZE_MAX: u64 = 64 << 30;

/// The largest `max_memory`: 16 TiB.
pub const MEMORY_MAX: u64 = 16 << 40;

/// The value of `timeout` that leaves the number to Cashew.
pub const AUTO: &str = "auto";

/// More worker threads than this is a slip of the finger.
pub const THREADS_MAX: u64 = 1024;

/// twemproxy's most talkative log level.
pub const VERBOSE_MAX: u64 = 11;

/// twemproxy's bounds for `--mbuf-size`, in bytes.
pub const MBUF_MIN: u64 = 512;
/// See [`MBUF_MIN`].
pub const MBUF_MAX: u64 = 16 << 20;

use Kind::{
    Bool, Commands, Distribution, Duration, Hash, HashTag, Listen, Number, NumberOr, OneOf, Path, Servers,
    Size, Text,
};
use Origin::{Cashew, Twemproxy};

const fn row(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    default: &'static str,
    origin: Origin,
    help: &'static str,
) -> Row {
    Row { name, kind, unit, default, origin, help }
}
